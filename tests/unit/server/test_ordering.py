"""Ordering: what the supervisor makes of a wish, and which workers hear of it when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from posthouse.adapt import adapt
from posthouse.balance.orders import Kind, Order, Orders
from posthouse.config.specs import Config
from posthouse.server import ordering as module
from posthouse.server.control import Obey, Obeyed
from posthouse.server.ordering import Ordering, Wish
from unit.server.fakes import Remembering

SITES = """
a.test:80 {
	proxy / {
		name p
		upstream a:1 weight=2
		upstream b:1
	}
	proxy /found srv://found.test { name found }
}
b.test:80 {
	proxy / c:1
	proxy /x c:1 c:1
}
"""


def config(text: str = SITES) -> Config:
    return adapt(text, "Caddyfile", env={}).config


class Worker:
    def __init__(self, *, is_quick: bool = True) -> None:
        self.is_quick = is_quick
        self.told: list[Orders] = []
        self.waiting: list[asyncio.Future[Obeyed]] = []

    def send(self, message: object) -> None:
        assert isinstance(message, Obey) and self.waiting, (
            "an answer that nobody expects is taken for another one"
        )
        self.told.append(message.orders)
        if self.is_quick:
            self.waiting[-1].set_result(Obeyed())

    def expect(self, answer: type[Obeyed]) -> asyncio.Future[Obeyed]:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return self.waiting[-1]


class Stage:
    def __init__(self, log: Remembering, *workers: Worker) -> None:
        self.workers = list(workers)
        self.ordering = Ordering(lambda: self.workers, log, lambda: 5.0)

    async def found(self, pool: str) -> Sequence[str]:
        assert pool == "found"
        return ["http://found-1:80"]

    async def give(self, act: str, pool: str, backend: str, weight: str = "") -> dict[str, Any]:
        return dict(await self.ordering.give(Wish(act, pool, backend, weight), config(), self.found))


@pytest.fixture
def stage(log: Remembering) -> Stage:
    return Stage(log, Worker(), Worker())


def run(conversation: Any) -> None:
    asyncio.run(asyncio.wait_for(conversation, 10))


def test_everybody_is_told_and_the_log(stage: Stage, log: Remembering) -> None:
    async def conversation() -> None:
        report = await stage.give("drain", "p", "a:1")
        assert report == {
            "pool": "p",
            "backend": "http://a:1",
            "order": "drain",
            "weight": None,
            "changed": True,
            "unconfirmed": 0,
        }
        report = await stage.give("weight", "p", "http://a:1", "7")
        assert (report["order"], report["weight"]) == ("drain", 7)
        expected = Order(Kind.DRAIN, 5.0, weight=7, in_place_of=2)
        assert stage.ordering.orders.of("p", "http://a:1") == expected
        for worker in stage.workers:
            assert worker.told[-1] == stage.ordering.orders and len(worker.told) == 2
        assert not (await stage.give("drain", "p", "a:1"))["changed"]
        assert len(stage.workers[0].told) == 2
        assert [line["order"] for line in log.of("backend ordered")] == ["drain", "weight 7", "drain"]
        newcomer = Worker()
        stage.ordering.welcome(newcomer)
        assert newcomer.told == [stage.ordering.orders]

    run(conversation())


def test_the_last_word_counts_and_only_its_own_undoes_it(stage: Stage) -> None:
    async def conversation() -> None:
        await stage.give("drain", "p", "b:1")
        report = await stage.give("enable", "p", "b:1")
        assert report["error"] == "it is draining by order, which `undrain` undoes"
        assert (await stage.give("disable", "p", "b:1"))["order"] == "disable"
        report = await stage.give("undrain", "p", "b:1")
        assert report["error"] == "it is disabled by order, which `enable` undoes"
        assert (await stage.give("enable", "p", "b:1"))["changed"]
        assert stage.ordering.orders == Orders()
        assert not (await stage.give("undrain", "p", "b:1"))["changed"]

    run(conversation())


def test_without_orders_newcomers_are_told_nothing(stage: Stage) -> None:
    worker = Worker()
    stage.ordering.welcome(worker)
    assert not worker.told


@pytest.mark.parametrize("weight", ["1", "1000"])
def test_a_weight(stage: Stage, weight: str) -> None:
    async def conversation() -> None:
        assert (await stage.give("weight", "p", "a:1", weight))["weight"] == int(weight)
        assert (await stage.give("weight", "p", "a:1", "default"))["weight"] is None
        assert stage.ordering.orders == Orders()

    run(conversation())


@pytest.mark.parametrize("weight", ["0", "1001", "", "+1", "²", "x", "1" * 5000])
def test_no_weight(stage: Stage, weight: str) -> None:
    async def conversation() -> None:
        report = await stage.give("weight", "p", "a:1", weight)
        assert report["error"].startswith("expected a weight from 1 to 1000, or default, found ")

    run(conversation())


def test_what_is_unclear(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def conversation() -> None:
        report = await stage.give("drain", "b.test:80", "c:1")
        assert report["error"] == "pool 'b.test:80' may be any of 2"
        assert report["candidates"] == ["b.test:80 /", "b.test:80 /x"]
        report = await stage.give("drain", "b.test:80 /x", "d:1")
        assert report["candidates"] == ["http://c:1", "http://c:1#2"]
        assert (await stage.give("drain", "b.test:80 /x", "c:1#2"))["backend"] == "http://c:1#2"
        assert (await stage.give("drain", "found", "found-1:80"))["changed"], "what was found while we run"
        assert (await stage.give("drain", "found", "found-2:80"))["candidates"] == ["http://found-1:80"]
        assert "there is no order 'drown'" in (await stage.give("drown", "p", "a:1"))["error"]
        monkeypatch.setattr(module, "MOST_CANDIDATES", 2)
        assert len((await stage.give("drain", "nobody", "a:1"))["candidates"]) == 2

    run(conversation())


def test_a_worker_that_hangs_is_not_waited_for(log: Remembering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OBEY_SECONDS", 0.001)

    async def conversation() -> None:
        stage = Stage(log, Worker(), Worker(is_quick=False))
        assert (await stage.give("drain", "p", "a:1"))["unconfirmed"] == 1
        assert len(stage.workers[1].told) == 1

    run(conversation())


def test_a_reload_drops_what_is_for_nothing(stage: Stage, log: Remembering) -> None:
    async def conversation() -> None:
        await stage.give("disable", "p", "a:1")
        await stage.give("weight", "p", "a:1", "9")
        await stage.give("drain", "p", "b:1")
        await stage.give("drain", "found", "found-1:80")
        told = len(stage.workers[0].told)
        stage.ordering.keep(config())
        assert len(stage.workers[0].told) == told, "nothing has changed"
        stage.ordering.keep(config(SITES.replace("weight=2", "weight=3").replace("upstream b:1", "")))
        assert [one[:2] for one in stage.ordering.orders.all()] == [
            ("p", "http://a:1"),
            ("found", "http://found-1:80"),
        ]
        assert stage.ordering.orders.of("p", "http://a:1") == Order(Kind.DISABLE, 5.0)
        assert stage.workers[1].told[-1] == stage.ordering.orders
        dropped = log.of("order dropped by the reload")
        assert [(line["upstream"], line["order"]) for line in dropped] == [
            ("http://a:1", "weight"),
            ("http://b:1", "drain"),
        ]

    run(conversation())


def test_another_process_goes_on_with_them(stage: Stage, log: Remembering) -> None:
    heir = Stage(log, Worker())

    async def conversation() -> None:
        await stage.give("drain", "p", "a:1")
        heir.ordering.inherit(stage.ordering.rows())
        assert heir.ordering.orders == stage.ordering.orders
        assert [one.of("p", "http://a:1").kind for one in heir.workers[0].told] == [Kind.DRAIN]
        heir.ordering.inherit(stage.ordering.rows())
        assert len(heir.workers[0].told) == 1, "nothing new"
        heir.ordering.keep(config("a.test:80 {\n proxy / a:1\n}\n"), "upgrade")
        assert log.of("order dropped by the upgrade")
        stage.ordering.refusal = "an upgrade is under way"
        told = await stage.give("undrain", "p", "a:1")
        assert told["error"] == "an upgrade is under way"
        assert stage.ordering.orders.of("p", "http://a:1").kind is Kind.DRAIN, "it would be lost"

    run(conversation())
