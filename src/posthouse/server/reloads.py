"""Reloads: one at a time, at most one more waits, and whoever asked is told how the one that began after it went."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from posthouse.caddyfile.messages import render
from posthouse.config.specs import Config
from posthouse.errors import ConfigError, Mistake, StartError
from posthouse.observe.process_log import ProcessLog


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reload went.

    generation, sites  that serve now; changed: sites that were built anew
    refusal   why the old configuration stays, one line; "": it does not
    mistakes  all of them, where that is why; sources: the files they are in, name to text
    """

    generation: int = 0
    sites: int = 0
    changed: int = 0
    took_ms: int = 0
    refusal: str = ""
    mistakes: tuple[Mistake, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

    def report(self) -> dict[str, object]:
        """For the admin socket (docs/admin.md)."""
        if not self.refusal:
            names = ("generation", "sites", "changed", "took_ms")
            return {name: getattr(self, name) for name in names}
        return {"error": self.refusal, "mistakes": [self._told(one) for one in self.mistakes]}

    def _told(self, mistake: Mistake) -> dict[str, object]:
        place = str(mistake.place) if mistake.place.file else None
        return {
            "place": place,
            "message": mistake.message,
            "hint": mistake.hint or None,
            "shown": render(mistake, self.sources),
        }


def refused(error: Exception, sources: Mapping[str, str]) -> Outcome:
    """What an exception makes of a reload. sources: the files that were read; what the error carries is used first."""
    if isinstance(error, ConfigError):
        count = len(error.mistakes)
        reason = f"{count} mistake{'s' if count > 1 else ''}"
        texts = {**sources, **getattr(error, "sources", {})}
        return Outcome(refusal=reason, mistakes=error.mistakes, sources=texts)
    return Outcome(refusal=str(error) if isinstance(error, StartError) else repr(error))


def tell_refusal(log: ProcessLog, outcome: Outcome, cause: str) -> None:
    """The lines about a reload that changed nothing."""
    for mistake in outcome.mistakes:
        place = str(mistake.place)
        what = f"{mistake.message} ({mistake.hint})" if mistake.hint else mistake.message
        log.error("configuration", key=place, place=place, mistake=what)
    reason = outcome.refusal
    log.error("reload failed, the old configuration stays", key=reason, cause=cause, reason=reason)


def tell_notices(log: ProcessLog, config: Config, before: Config | None = None) -> None:
    """Those that are new: an edit that moves lines must not tell thousands again."""
    known = {(one.place.file, one.message) for one in before.notices} if before is not None else set()
    for notice in config.notices:
        if (notice.place.file, notice.message) not in known:
            log.warn("configuration", place=str(notice.place), notice=notice.message)


class Reloads:
    """See above.

    perform  does one, for a cause; never raises
    spawn    lets work run in the loop
    """

    __slots__ = ("_loop", "_perform", "_running", "_spawn", "_waiting")

    def __init__(
        self,
        perform: Callable[[str], Awaitable[Outcome]],
        loop: asyncio.AbstractEventLoop,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._perform = perform
        self._loop = loop
        self._spawn = spawn
        self._running = False
        self._waiting: tuple[str, asyncio.Future[Outcome]] | None = None

    @property
    def is_running(self) -> bool:
        """Whether one is under way."""
        return self._running

    def ask(self, cause: str) -> asyncio.Future[Outcome]:
        """Reload, now or after the one that runs, so that the last word of the file counts."""
        if self._running:
            outcome = self._waiting[1] if self._waiting is not None else self._loop.create_future()
            self._waiting = cause, outcome
            return outcome
        outcome = self._loop.create_future()
        self._begin(cause, outcome)
        return outcome

    def _begin(self, cause: str, outcome: asyncio.Future[Outcome]) -> None:
        self._running = True
        self._spawn(self._run(cause, outcome))

    async def _run(self, cause: str, outcome: asyncio.Future[Outcome]) -> None:
        try:
            result = await self._perform(cause)
            if not outcome.done():
                outcome.set_result(result)
        finally:
            self._running = False
            if not outcome.done():  # the loop ends
                outcome.cancel()
            if self._waiting is not None:
                (again, following), self._waiting = self._waiting, None
                self._begin(again, following)
