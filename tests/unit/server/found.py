"""What the tests of discovery share: a runtime whose DNS the test plays, and generations on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from posthouse.adapt import adapt
from posthouse.config.specs import SourceSpec
from posthouse.discovery.ports import Answer, Question, ServiceRecord, Unanswered
from posthouse.server.generation import Generation, build
from posthouse.server.runtime import Runtime
from unit.server.fakes import Remembering, until

SILENCE = Unanswered("SRV: no answer within 5 s")


class FoundRuntime(Runtime):
    """`dns` says what each name has: records, or why it is not answered. Sources sleep until the next `turn`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
        super().__init__(loop, log)
        self.dns: dict[str, Sequence[Any] | Exception] = {}
        self.asked: list[str] = []
        self.delay: asyncio.Event | None = None
        self._sleepers: list[asyncio.Future[None]] = []
        self.discoverer.ask = self._ask
        self.discoverer.sleep = self._sleep  # type: ignore[method-assign]

    async def _ask(self, name: str, question: Question) -> Answer:
        self.asked.append(name)
        if self.delay is not None:
            await self.delay.wait()
        found = self.dns.get(name, ())
        if isinstance(found, Exception):
            raise found
        return Answer(tuple(sorted(found)), 1.0)

    async def _sleep(self, seconds: float) -> None:
        self._sleepers.append(self.loop.create_future())
        await self._sleepers[-1]

    def wake(self) -> None:
        """Every source that sleeps goes on."""
        sleepers, self._sleepers = self._sleepers, []
        for one in sleepers:
            if not one.done():
                one.set_result(None)

    async def turn(self) -> None:
        """Every source asks once more."""
        before = len(self.asked)
        self.wake()
        await until(lambda: len(self.asked) > before)
        for _ in range(5):
            await asyncio.sleep(0)


def srv(*hosts: str) -> list[ServiceRecord]:
    """A record for each host; "a:2" has priority 2."""
    records = []
    for host in hosts:
        name, _, priority = host.partition(":")
        records.append(ServiceRecord(int(priority or 0), 1, name, 80))
    return records


def sources_of(generation_text: str) -> list[SourceSpec]:
    config = adapt(generation_text, "Caddyfile", env={}).config
    return [source for site in config.sites for route in site.routes for source in route.pool.sources]


async def started(text: str, runtime: Runtime, previous: Generation | None = None) -> Generation:
    """As the worker does it."""
    config = adapt(text, "Caddyfile", env={}).config
    await runtime.discoverer.prepare(sources_of(text))
    generation = build(config, runtime, previous)
    generation.start()
    if previous is not None:
        previous.retire(generation)
    return generation


def hosts(generation: Generation, pool: int = 0) -> list[str]:
    """The hosts of a pool's backends."""
    return [backend.endpoint.host for backend in list(generation.pools.values())[pool].backends]
