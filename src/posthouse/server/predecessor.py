"""Predecessor: the supervisor whose place we are to take, as we see it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import MutableMapping, Sequence
from typing import Final

from posthouse import __version__
from posthouse.errors import StartError
from posthouse.server.beliefs import Known, from_rows
from posthouse.server.handover import VARIABLE, Handover, Said
from posthouse.server.sockets import ListenKey

OFFER_SECONDS: Final = 10.0
"""For what it says first, which it says at once."""
RELEASE_SECONDS: Final = 10.0
"""Until it has given up the insignia."""


class Predecessor:
    """What it hands over, until we have settled.

    sockets  by address, one for each of its workers
    given    those that the service manager opened for it
    admin    where it answers on TCP, by address; whoever takes one takes it out
    orders   what it was ordered, as `server/order_rows.py` writes it
    beliefs  what its health checks said of backends when we were started
    """

    def __init__(self, line: Handover) -> None:
        self.pid = 0
        self.version = ""
        self.sockets: dict[ListenKey, list[socket.socket]] = {}
        self.given: list[tuple[str, socket.socket]] = []
        self.admin: dict[tuple[str, int], socket.socket] = {}
        self.orders: list[object] = []
        self.beliefs: Known = {}
        self._line = line

    def __repr__(self) -> str:
        return f"<Predecessor pid={self.pid} version={self.version!r}>"

    def take(self) -> None:
        """Wait for what it offers; without a loop. Raises StartError."""
        try:
            asyncio.run(self._take())
        except (EOFError, OSError, ValueError) as error:
            why = str(error) or "it ended before it had said what"
            raise StartError(f"nothing was handed over: {why}") from None

    async def _take(self) -> None:
        async with asyncio.timeout(OFFER_SECONDS):
            while (said := await self._line.expect("offer", "sockets", "admin", "begin")).what != "begin":
                if said.what == "offer":
                    self.version, self.pid = str(said.about["version"]), int(said.about["pid"])
                    self._hear_orders(said)
                    beliefs = said.about.get("beliefs")
                    self.beliefs = from_rows(beliefs if isinstance(beliefs, list) else ())
                elif said.what == "admin":
                    self._take_admin(said)
                else:
                    self._take_sockets(said)

    def _take_sockets(self, said: Said) -> None:
        descriptors = iter(said.descriptors)
        for host, port, count, is_given in said.about["sockets"]:
            made = [socket.socket(fileno=next(descriptors)) for _ in range(count)]
            for one in made:
                one.setblocking(False)
            if is_given:
                self.given += [(f"{host}:{port}", one) for one in made]
            else:
                self.sockets.setdefault((host, port), []).extend(made)

    def _take_admin(self, said: Said) -> None:
        for (host, port), descriptor in zip(said.about["addresses"], said.descriptors, strict=True):
            self.admin[host, port] = socket.socket(fileno=descriptor)
            self.admin[host, port].setblocking(False)

    def _hear_orders(self, said: Said) -> None:
        orders = said.about.get("orders")
        if isinstance(orders, list):
            self.orders = orders

    async def release(self) -> bool:
        """We serve: it shall give up the insignia. False: it is gone, and so is its hold on them."""
        try:
            await self._line.say("serving", version=__version__, pid=os.getpid())
            async with asyncio.timeout(RELEASE_SECONDS):
                self._hear_orders(await self._line.expect("released"))
        except (EOFError, OSError):  # TimeoutError is one: it hangs
            return False
        return True

    async def settle(self) -> None:
        """We have them: it may go."""
        try:
            await self._line.say("settled")
        except OSError:
            pass
        self._line.close()
        for listening in self.admin.values():
            listening.close()
        self.admin.clear()

    def refuse(self, reason: str, shown: Sequence[str] = ()) -> None:
        """We don't take its place."""
        self._line.say_last("failed", reason=reason, shown=list(shown))


def find(env: MutableMapping[str, str]) -> Predecessor | None:
    """Whose place we were started to take; None: nobody's. No child of ours shall read of it."""
    text = env.pop(VARIABLE, "")
    if not (text.isascii() and text.isdigit()):
        return None
    try:
        if not stat.S_ISSOCK(os.fstat(int(text)).st_mode):
            return None
        os.set_inheritable(int(text), False)
        connection = socket.socket(fileno=int(text))
    except (OSError, OverflowError):
        return None
    return Predecessor(Handover(connection))
