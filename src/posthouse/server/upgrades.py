"""Upgrades: another supervisor takes our place, and until it has it we serve as if nobody had asked.

Laws
- Nothing of ours changes before the successor serves, and nothing for good before it has settled; whatever goes wrong
  until then, we go on, and whoever asked is told why.
- Meanwhile no worker is started: the files on disk may be those of another version.
- What must not happen twice at once (another upgrade) is refused; what can wait (a reload) is remembered, and becomes
  the successor's if there is one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from posthouse import __version__
from posthouse.server.beliefs import to_rows
from posthouse.server.bindings import Bindings
from posthouse.server.insignia import Insignia
from posthouse.server.ordering import Ordering
from posthouse.server.parts import Scout, SupervisorParts
from posthouse.server.reloads import Outcome
from posthouse.server.successor import (
    END_SECONDS,
    SERVE_SECONDS,
    SETTLE_SECONDS,
    Bequest,
    Refused,
    Successor,
    launch,
)
from posthouse.server.workers import Workers

UNDER_WAY = "an upgrade is under way"
DONE = "another process has taken over"


@dataclass(frozen=True, slots=True)
class Upgraded:
    """How an upgrade went.

    pid, version  of who serves now
    refusal  why we go on, one line; "": we don't. shown: its mistakes, each as a person is told of it
    """

    pid: int
    version: str
    refusal: str = ""
    shown: tuple[str, ...] = ()

    def report(self) -> dict[str, object]:
        """For the admin socket (docs/admin.md)."""
        if self.refusal:
            return {"error": self.refusal, "mistakes": [{"shown": one} for one in self.shown]}
        before = {"pid": os.getpid(), "version": __version__}
        return {"before": before, "pid": self.pid, "version": self.version}


class Replaced(Protocol):
    """What is asked of `server.supervisor.Supervisor`."""

    @property
    def ordering(self) -> Ordering: ...
    @property
    def scout(self) -> Scout | None: ...

    def why_not(self) -> str:
        """Why it can't be replaced now, one line; "": it can."""

    def stop(self, cause: str) -> None:
        """Drain and end: another process serves."""

    def reload(self, cause: str) -> asyncio.Future[Outcome]:
        """Read the configuration again; how that went, once it is known."""


class Upgrades:
    """Of one supervisor. is_done: another process has taken over; limits: see `successor`."""

    def __init__(
        self,
        replaced: Replaced,
        workers: Workers,
        bindings: Bindings,
        insignia: Insignia,
        parts: SupervisorParts,
    ) -> None:
        self.limits = (SERVE_SECONDS, SETTLE_SECONDS, END_SECONDS)
        self._replaced = replaced
        self._workers = workers
        self._bindings = bindings
        self._insignia = insignia
        self._log = parts.log
        self._origin = parts.origin
        self._env = parts.env
        self._running: asyncio.Task[None] | None = None
        self._waiting: tuple[str, asyncio.Future[Outcome]] | None = None
        self._successor: Successor | None = None
        self.is_done = False
        self._was_unasked = False

    def __repr__(self) -> str:
        return f"<Upgrades {'done' if self.is_done else self._successor or 'none'}>"

    def ask(self, cause: str) -> asyncio.Future[Upgraded]:
        """Begin; how it went, once that is known."""
        answer: asyncio.Future[Upgraded] = asyncio.get_running_loop().create_future()
        refusal = self._why_not()
        if refusal:
            self._log.warn("upgrade refused", cause=cause, reason=refusal)
            answer.set_result(Upgraded(os.getpid(), __version__, refusal))
            return answer
        self._running = asyncio.get_running_loop().create_task(self._run(cause, answer))
        return answer

    def _why_not(self) -> str:
        if self.is_done:
            return DONE
        return UNDER_WAY if self._running is not None else self._origin.refusal or self._replaced.why_not()

    def is_last_resort(self) -> bool:
        """Nobody serves, and whoever would is of another version: then that one shall, once. False: it was tried."""
        if self._running is not None or self.is_done:
            return True
        if self._was_unasked:
            return False
        self._was_unasked = True
        self.ask("another version is installed and no worker is left")
        return True

    def postponed(self, cause: str) -> asyncio.Future[Outcome] | None:
        """How a reload went that has to wait until the upgrade is over; None: it need not wait."""
        if self._running is None:
            return None
        outcome = asyncio.get_running_loop().create_future() if self._waiting is None else self._waiting[1]
        self._waiting = cause, outcome
        return outcome

    async def cancel(self) -> None:
        """We are to stop: so is who was on its way."""
        if self._running is not None and not self.is_done:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self, cause: str, answer: asyncio.Future[Upgraded]) -> None:
        try:
            upgraded = await self._attempt(cause)
        except asyncio.CancelledError:
            upgraded = Upgraded(os.getpid(), __version__, "it was told to stop meanwhile")
        except Exception as error:  # whatever it is, it must not take down what serves
            upgraded = Upgraded(os.getpid(), __version__, repr(error))
        finally:
            self._running = None
        if upgraded.refusal:
            self._log.error("upgrade failed, this process stays", cause=cause, reason=upgraded.refusal)
            self._workers.resume()
        else:
            self.is_done = True
        if not answer.done():
            answer.set_result(upgraded)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._pass_on(*waiting, upgraded)
        if self.is_done:
            self._replaced.stop(cause)

    def _pass_on(self, cause: str, waiting: asyncio.Future[Outcome], upgraded: Upgraded) -> None:
        """A reload that was asked for meanwhile: the successor may have read the file before it was changed."""
        if upgraded.refusal:
            self._replaced.reload(cause).add_done_callback(lambda ended: _answer(waiting, ended))
            return
        with suppress(ProcessLookupError):
            os.kill(upgraded.pid, signal.SIGUSR1)
        waiting.set_result(Outcome(refusal=f"process {upgraded.pid} has taken over, and was told to reload"))

    async def _attempt(self, cause: str) -> Upgraded:
        serve, settle, end = self.limits
        self._workers.hold()
        self._log.info("upgrading", cause=cause, program=self._origin.words[0])
        has_let_go = False
        successor = None
        try:
            successor = self._successor = launch(self._origin, self._env)
            await successor.serve(self._bequest(), serve)
            has_let_go = True
            self._replaced.ordering.refusal = UNDER_WAY
            self._insignia.give_up()
            await successor.settle(self._replaced.ordering.rows(), settle)
        except BaseException as error:
            if successor is not None:
                await successor.end(end)
            if has_let_go:
                self._replaced.ordering.refusal = ""
                await self._insignia.take_back()
            if isinstance(error, Refused):
                for one in error.shown:
                    self._log.error("configuration of the successor", mistake=one)
                return Upgraded(os.getpid(), __version__, str(error), error.shown)
            raise
        finally:
            self._successor = None
        self._insignia.hand_over(successor.pid)
        successor.close()
        self._log.info("upgraded", cause=cause, successor=successor.pid, version=successor.version)
        return Upgraded(successor.pid, successor.version)

    def _bequest(self) -> Bequest:
        scout = self._replaced.scout
        beliefs = to_rows(scout.beliefs()) if scout is not None else []
        orders = self._replaced.ordering.rows()
        return Bequest(self._bindings.offered(), self._insignia.listening(), orders, beliefs)


def _answer(waiting: asyncio.Future[Outcome], ended: asyncio.Future[Outcome]) -> None:
    if waiting.done():
        return
    if ended.cancelled():
        waiting.cancel()
    else:
        waiting.set_result(ended.result())
