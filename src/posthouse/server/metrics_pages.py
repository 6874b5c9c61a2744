"""The paths of the directive `metrics`: what was counted, whether we live, whether we take requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final, Protocol

from posthouse.config.specs import MetricsSpec
from posthouse.observe.exposition import OPEN_METRICS, media_type, pieces
from posthouse.observe.snapshot import Snapshot
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead
from posthouse.protocol.target import Targets
from posthouse.proxy.answer import WAIT, Answer, Responder, Visit, Wait
from posthouse.proxy.answering import PIECE_BYTES, Held
from posthouse.proxy.site import path_key

COLLECT_SECONDS: Final = 5.0
"""For all workers to say what they have counted. Prometheus itself gives up after 10 s."""
PLAIN: Final = b"text/plain; charset=utf-8"
_ALLOW: Final = Field(b"Allow", b"GET, HEAD")
_FRESH: Final = Field(b"Cache-Control", b"no-store")


class Group(Protocol):
    """Whom the pages ask."""

    @property
    def is_ready(self) -> bool:
        """Whether requests are served: neither starting nor draining."""

    def collect(self) -> Awaitable[Snapshot]:
        """What all workers have counted. A worker that does not answer counts with what it last said."""


def build_pages(spec: MetricsSpec, group: Group, targets: Targets) -> dict[str, Responder]:
    """Who answers which path, by key."""
    pages: dict[str, Responder] = {spec.path: MetricsPage(group)}
    if spec.health:
        pages[spec.health] = StatePage(group, is_about_ready=False)
    if spec.ready:
        pages[spec.ready] = StatePage(group, is_about_ready=True)
    return {path_key(path, targets): page for path, page in pages.items()}


class MetricsPage:
    """The text for Prometheus. However long it is, no request waits for it."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._running: set[asyncio.Task[None]] = set()

    def respond(self, visit: Visit, head: RequestHead) -> Answer | Wait:
        """See `Responder`."""
        if not _is_read(head):
            return Answer(405, (_ALLOW,))
        kind = media_type(visit.field(b"accept"))
        task = asyncio.get_running_loop().create_task(self._tell(visit, kind))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return WAIT

    async def _tell(self, visit: Visit, kind: bytes) -> None:
        answer = await metrics_answer(self._group, kind)
        if isinstance(answer.body, bytes) and len(answer.body) > PIECE_BYTES:
            answer = replace(answer, body=Held(answer.body))
        visit.resume(answer)


async def metrics_answer(group: Group, kind: bytes) -> Answer:
    """The text, of a media type of observe/exposition.py; 503 if the group does not say in time."""
    try:
        async with asyncio.timeout(COLLECT_SECONDS):
            snapshot = await group.collect()
    except TimeoutError:
        return Answer(503, cause=f"no metrics within {COLLECT_SECONDS:g} s")
    made = []
    for piece in pieces(snapshot, is_open=kind == OPEN_METRICS):
        made.append(piece)
        await asyncio.sleep(0)  # requests are not to wait for the text
    return Answer(200, (Field(b"Content-Type", kind), _FRESH), b"".join(made))


class StatePage:
    """200 or 503, with a word: for load balancers, orchestrators and people."""

    def __init__(self, group: Group, *, is_about_ready: bool) -> None:
        self._group = group
        self._is_about_ready = is_about_ready

    def respond(self, visit: Visit, head: RequestHead) -> Answer:
        """See `Responder`."""
        if not _is_read(head):
            return Answer(405, (_ALLOW,))
        return state_answer(self._group, is_about_ready=self._is_about_ready)


def state_answer(group: Group, *, is_about_ready: bool) -> Answer:
    """Whether we take requests, or merely that we live."""
    is_good = group.is_ready or not is_about_ready
    word = (b"ready" if is_about_ready else b"alive") if is_good else b"not ready"
    return Answer(200 if is_good else 503, (Field(b"Content-Type", PLAIN), _FRESH), word + b"\n")


def _is_read(head: RequestHead) -> bool:
    return head.method in (b"GET", b"HEAD")
