"""Successor: the supervisor that is to take our place, as we see it: a process, and the line to it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from posthouse import __version__
from posthouse.errors import StartError
from posthouse.server.bindings import Offered
from posthouse.server.handover import MOST_DESCRIPTORS, VARIABLE, Handover, Said
from posthouse.server.order_rows import Row
from posthouse.server.origin import Origin

SERVE_SECONDS: Final = 60.0
"""From its start until it serves. A large configuration takes seconds, names that don't resolve some more."""
SETTLE_SECONDS: Final = 10.0
"""From then on until it has the insignia, which is two files."""
END_SECONDS: Final = 5.0
"""After TERM, until one that did not make it is killed."""
_LOOK_SECONDS: Final = 0.02

_NOT_FOR_A_SUCCESSOR: Final = ("WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class Bequest(NamedTuple):
    """What it gets of us.

    sockets  those that clients come to
    admin    those where we answer on TCP, by address
    orders   what was ordered of backends
    beliefs  what health checks say of those that are not up
    """

    sockets: Sequence[Offered] = ()
    admin: Mapping[tuple[str, int], socket.socket] = {}
    orders: Sequence[Row] = ()
    beliefs: Sequence[Row] = ()


class Refused(StartError):
    """It does not take over; shown: its mistakes, each as a person is told of it."""

    def __init__(self, reason: str, shown: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.shown = tuple(shown)


class Successor:
    """One that was started. Not a child of the event loop, which would kill it when we end.

    version  its own word; "" until it serves
    """

    def __init__(self, process: subprocess.Popen[bytes], line: Handover) -> None:
        self.pid = process.pid
        self.version = ""
        self._is_leaving = False
        self._process = process
        self._line = line

    def __repr__(self) -> str:
        return f"<Successor pid={self.pid} version={self.version!r}>"

    async def serve(self, bequest: Bequest, seconds: float) -> None:
        """Have it serve with all that. Raises Refused."""
        try:
            async with asyncio.timeout(seconds):
                await self._offer(bequest)
                said = await self._line.expect("serving", "failed")
        except TimeoutError:
            raise Refused(f"it did not serve within {seconds:g}s") from None
        except (EOFError, OSError, ValueError) as error:
            raise Refused(await self._how_it_ended(error)) from None
        if said.what == "failed":
            raise _refusal(said)
        self.version = str(said.about.get("version", "unknown"))

    async def settle(self, orders: Sequence[Row], seconds: float) -> None:
        """Have it take the insignia, which are free now; orders: as they are at last. Raises Refused."""
        try:
            async with asyncio.timeout(seconds):
                await self._line.say("released", orders=orders)
                said = await self._line.expect("settled", "failed")
        except TimeoutError:
            raise Refused(f"it did not settle within {seconds:g}s") from None
        except (EOFError, OSError, ValueError) as error:
            raise Refused(await self._how_it_ended(error)) from None
        if said.what == "failed":
            self._is_leaving = True
            raise _refusal(said)

    async def end(self, seconds: float) -> None:
        """The end of one that shall not take over. If it is killed, its workers finish what has come to them; and one
        that has served and said no does so itself, in its own time."""
        self._line.close()
        if not self._is_leaving and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            if await self._has_ended(seconds) is None:
                self._process.send_signal(signal.SIGKILL)
                await self._has_ended(seconds)

    def close(self) -> None:
        """It has taken over: let go of it."""
        self._line.close()

    async def _offer(self, bequest: Bequest) -> None:
        orders, beliefs = bequest.orders, bequest.beliefs
        await self._line.say("offer", version=__version__, pid=os.getpid(), orders=orders, beliefs=beliefs)
        for one in bequest.sockets:
            for first in range(0, len(one.sockets), MOST_DESCRIPTORS):
                some = [each.fileno() for each in one.sockets[first : first + MOST_DESCRIPTORS]]
                await self._line.say("sockets", some, sockets=[[*one.key, len(some), one.is_given]])
        for address, listening in bequest.admin.items():
            await self._line.say("admin", [listening.fileno()], addresses=[address])
        await self._line.say("begin")

    async def _how_it_ended(self, error: Exception) -> str:
        if isinstance(error, ValueError):
            return str(error)
        code = await self._has_ended(END_SECONDS)
        if code is None:
            return "it closed the line to us"
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"it ended with {how}; what it said is on stderr"

    async def _has_ended(self, seconds: float) -> int | None:
        """Its exit code; None: it runs still."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (code := self._process.poll()) is None and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        return code


def launch(origin: Origin, env: Mapping[str, str]) -> Successor:
    """Start one. Raises Refused."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.set_inheritable(True)
        environment = {name: value for name, value in env.items() if name not in _NOT_FOR_A_SUCCESSOR}
        environment[VARIABLE] = str(theirs.fileno())
        try:
            process = subprocess.Popen(
                origin.words,
                cwd=origin.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except (OSError, ValueError) as error:
            ours.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise Refused(f"cannot start {origin.words[0]} in {origin.folder}: {reason}") from None
    return Successor(process, Handover(ours))


def _refusal(said: Said) -> Refused:
    shown: Any = said.about.get("shown", [])
    return Refused(str(said.about.get("reason", "it said no")), [str(one) for one in shown])
