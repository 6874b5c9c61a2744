from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from posthouse.admin.api import Functions, Report, Text
from posthouse.observe.exposition import OPEN_METRICS, TEXT
from posthouse.observe.snapshot import Snapshot
from posthouse.server import metrics_pages
from posthouse.server.admin_functions import AdminFunctions


class Group:
    is_ready = False
    is_silent = False

    async def collect(self) -> Snapshot:
        if self.is_silent:
            await asyncio.Event().wait()
        return Snapshot({"posthouse_workers": {(): 2}})


class Reporting:
    async def status(self) -> Report:
        return {"well": True}

    async def reload(self) -> Report:
        return {"generation": 2}

    async def upgrade(self) -> Report:
        return {"error": "not now"}

    async def order(self, asked: Mapping[str, str]) -> Report:
        return dict(asked)


def functions(group: Group) -> Functions:
    return AdminFunctions(Reporting(), group)


def test_everything_that_can_be_asked() -> None:
    made = functions(Group())
    assert asyncio.run(made.status()) == {"well": True}
    assert asyncio.run(made.reload()) == {"generation": 2}
    assert asyncio.run(made.upgrade()) == {"error": "not now"}
    assert asyncio.run(made.order({"order": "drain"})) == {"order": "drain"}
    assert made.health() == Text(200, "text/plain; charset=utf-8", b"alive\n")
    assert made.ready() == Text(503, "text/plain; charset=utf-8", b"not ready\n")
    text = asyncio.run(made.metrics(None))
    assert (text.status, text.kind) == (200, TEXT.decode()) and b"posthouse_workers 2" in text.body
    assert asyncio.run(made.metrics(OPEN_METRICS)).kind == OPEN_METRICS.decode()


def test_a_group_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_pages, "COLLECT_SECONDS", 0.01)
    group = Group()
    group.is_silent = True
    text = asyncio.run(functions(group).metrics(None))
    assert (text.status, text.body) == (503, b"no metrics within 0.01 s\n")
