"""Reloads: one at a time, the last word counts, and each asker hears of one that began after he asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from posthouse.errors import ConfigError, Mistake, Place, StartError
from posthouse.server.reloads import Outcome, Reloads, refused


class Run:
    """Reloads that end when the test says so."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.causes: list[str] = []
        self.ends: list[asyncio.Future[Outcome]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.reloads = Reloads(
            self._perform, self.loop, lambda work: self.tasks.add(self.loop.create_task(work))
        )

    async def _perform(self, cause: str) -> Outcome:
        self.causes.append(cause)
        self.ends.append(self.loop.create_future())
        return await self.ends[-1]

    async def turn(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)


def test_one_at_a_time_and_one_that_waits() -> None:
    async def main() -> None:
        run = Run()
        first = run.reloads.ask("a")
        await run.turn()
        waiting = [run.reloads.ask(cause) for cause in ("b", "c", "d")]
        await run.turn()
        assert run.causes == ["a"]
        run.ends[0].set_result(Outcome(1))
        await run.turn()
        assert run.causes == ["a", "d"], "what was asked for meanwhile is one reload, after it"
        assert (await first).generation == 1 and not any(one.done() for one in waiting)
        run.ends[1].set_result(Outcome(2))
        assert [(await one).generation for one in waiting] == [2, 2, 2]
        run.reloads.ask("e")
        await run.turn()
        assert run.causes == ["a", "d", "e"]
        run.ends[2].set_result(Outcome(3))
        await run.turn()

    asyncio.run(main())


def test_an_asker_that_has_gone_is_not_told() -> None:
    async def main() -> None:
        run = Run()
        run.reloads.ask("a").cancel()
        await run.turn()
        run.ends[0].set_result(Outcome(1))
        await run.turn()
        outcome = run.reloads.ask("b")
        await run.turn()
        run.ends[1].set_result(Outcome(2))
        assert (await outcome).generation == 2

    asyncio.run(main())


def test_the_end_of_the_loop_ends_the_waiting() -> None:
    async def main() -> None:
        run = Run()
        outcome = run.reloads.ask("a")
        await run.turn()
        for task in run.tasks:
            task.cancel()
        await run.turn()
        assert outcome.cancelled()

    asyncio.run(main())


def test_what_is_told() -> None:
    assert Outcome(3, 9, 1, 40).report() == {"generation": 3, "sites": 9, "changed": 1, "took_ms": 40}
    mistakes = [
        Mistake(Place("C", 1, 3), "found b", 1, "did you mean c?"),
        Mistake(Place("", 0, 0), "nowhere"),
    ]
    told: Any = refused(ConfigError(mistakes), {"C": "a b"}).report()
    assert json.loads(json.dumps(told)) == told
    assert told["error"] == "2 mistakes"
    first, second = told["mistakes"]
    assert (first["place"], first["message"], first["hint"]) == ("C:1:3", "found b", "did you mean c?")
    assert "C:1:3: found b" in first["shown"] and "a b" in first["shown"] and "^" in first["shown"]
    assert (second["place"], second["hint"]) == (None, None)


def test_what_is_told_of_other_errors() -> None:
    assert refused(ConfigError(Mistake(Place("C", 1, 1), "a")), {}).report()["error"] == "1 mistake"
    assert refused(StartError("port taken"), {}).report() == {"error": "port taken", "mistakes": []}
    assert refused(ValueError("bug"), {}).refusal == "ValueError('bug')"
