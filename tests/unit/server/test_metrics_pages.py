from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from posthouse.config.specs import MetricsSpec
from posthouse.observe.exposition import OPEN_METRICS, TEXT
from posthouse.observe.snapshot import Snapshot
from posthouse.protocol.target import Targets
from posthouse.proxy.answer import WAIT, Answer, Visit
from posthouse.proxy.answering import Held
from posthouse.server import metrics_pages
from posthouse.server.metrics_pages import MetricsPage, StatePage, build_pages
from unit.files.asking import ask_head, field


class Group:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.is_ready = True
        self.is_silent = False

    async def collect(self) -> Snapshot:
        if self.is_silent:
            await asyncio.Event().wait()
        return Snapshot({"posthouse_workers": {(): 3}})


def visit_of(accept: bytes | None = None) -> tuple[Visit, list[Answer]]:
    answers: list[Answer] = []
    visit: Any = SimpleNamespace(field=lambda name: accept, resume=answers.append, is_finished=False)
    return visit, answers


def asked(group: Group, accept: bytes | None = None, method: str = "GET") -> Answer:
    """What the page of the metrics says in the end."""

    async def ask() -> Answer:
        page = MetricsPage(group)
        visit, answers = visit_of(accept)
        now = page.respond(visit, ask_head(method=method))
        if isinstance(now, Answer):
            return now
        assert now is WAIT and not answers
        await asyncio.gather(*page._running)
        await asyncio.sleep(0)
        assert not page._running
        (answer,) = answers
        return answer

    return asyncio.run(ask())


def test_the_text_comes_later_in_the_format_asked_for() -> None:
    answer = asked(Group())
    assert (answer.status, field(answer, b"content-type")) == (200, TEXT)
    assert isinstance(answer.body, bytes) and answer.body.endswith(b"\nposthouse_workers 3\n")
    assert field(answer, b"cache-control") == b"no-store"
    answer = asked(Group(), b"application/openmetrics-text; version=1.0.0")
    assert field(answer, b"content-type") == OPEN_METRICS
    assert isinstance(answer.body, bytes) and answer.body.endswith(b"# EOF\n")


def test_a_long_text_is_sent_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = asked(Group()).body
    assert isinstance(whole, bytes)
    monkeypatch.setattr(metrics_pages, "PIECE_BYTES", len(whole))
    assert asked(Group()).body == whole
    monkeypatch.setattr(metrics_pages, "PIECE_BYTES", len(whole) - 1)
    body = asked(Group()).body
    assert isinstance(body, Held)
    assert (body.length, body.read(8), body.read(1 << 20)) == (len(whole), whole[:8], whole[8:])


def test_a_group_that_is_silent_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_pages, "COLLECT_SECONDS", 0.01)
    group = Group()
    group.is_silent = True
    answer = asked(group)
    assert (answer.status, answer.cause) == (503, "no metrics within 0.01 s")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "get"])
def test_other_methods_are_told_which_there_are(method: str) -> None:
    answer = asked(Group(), method=method)
    assert (answer.status, field(answer, b"allow")) == (405, b"GET, HEAD")
    head = ask_head(method=method)
    assert StatePage(Group(), is_about_ready=True).respond(visit_of()[0], head).status == 405


@pytest.mark.parametrize(
    ("is_about_ready", "is_ready", "status", "body"),
    [
        (True, True, 200, b"ready\n"),
        (True, False, 503, b"not ready\n"),
        (False, True, 200, b"alive\n"),
        (False, False, 200, b"alive\n"),
    ],
)
def test_whether_we_live_and_whether_we_are_ready(
    is_about_ready: bool, is_ready: bool, status: int, body: bytes
) -> None:
    group = Group()
    group.is_ready = is_ready
    answer = StatePage(group, is_about_ready=is_about_ready).respond(visit_of()[0], ask_head())
    assert (answer.status, answer.body) == (status, body)


def test_pages_are_found_by_the_key_of_their_path() -> None:
    assert set(build_pages(MetricsSpec("/M"), Group(), Targets())) == {"/m"}
    assert set(build_pages(MetricsSpec("/M"), Group(), Targets(True))) == {"/M"}
    pages = build_pages(MetricsSpec("/m", "/h", "/r"), Group(), Targets())
    assert set(pages) == {"/m", "/h", "/r"}
    group = Group()
    group.is_ready = False
    pages = build_pages(MetricsSpec("/m", "/h", "/r"), group, Targets())
    statuses = []
    for path in ("/h", "/r"):
        answer = pages[path].respond(visit_of()[0], ask_head())
        assert isinstance(answer, Answer)
        statuses.append(answer.status)
    assert statuses == [200, 503]
