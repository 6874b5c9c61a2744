"""Tasks: held until they are done, and what they raise is told at once."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from posthouse.server.tasks import Tasks
from unit.server.fakes import until


def test_they_are_held_and_their_end_is_told(loop: asyncio.AbstractEventLoop) -> None:
    told: list[dict[str, Any]] = []
    done = []

    async def good() -> None:
        await asyncio.sleep(0)
        done.append(1)

    async def bad() -> None:
        raise ZeroDivisionError

    async def endless() -> None:
        await asyncio.sleep(60)

    async def conversation() -> None:
        tasks = Tasks()
        for work in (good, bad, endless):
            tasks.spawn(work())
        gc.collect()
        assert repr(tasks) == "<Tasks 3>"
        await until(lambda: done and told)
        tasks.cancel()
        await until(lambda: repr(tasks) == "<Tasks 0>")

    loop.set_exception_handler(lambda _, context: told.append(context))
    loop.run_until_complete(conversation())
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError], "cancelling is no failure"
