"""Insignia: what only one process can have: admin socket, pid file, being the service manager's main process."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from posthouse.server import pidfile
from posthouse.server.parts import SupervisorParts


class Insignia:
    """Of one supervisor. path: of the pid file; "" = none."""

    __slots__ = ("_parts", "_path")

    def __init__(self, parts: SupervisorParts, path: str) -> None:
        self._parts = parts
        self._path = path

    def __repr__(self) -> str:
        return f"<Insignia {self._parts.admin!r} {self._path!r}>"

    def take(self) -> None:
        """Have them. Raises StartError."""
        if self._parts.admin is not None:
            self._parts.admin.claim()
        if self._path:
            pidfile.write(self._path)

    async def serve(self) -> None:
        """Answer at the admin socket."""
        if self._parts.admin is not None:
            await self._parts.admin.serve()

    def listening(self) -> Mapping[tuple[str, int], socket.socket]:
        """The TCP sockets for questions, by address: a successor's as well, so that nobody is refused meanwhile."""
        return self._parts.admin.listening() if self._parts.admin is not None else {}

    def give_up(self) -> None:
        """Let another process have them; the pid file is replaced by whoever writes the next one."""
        if self._parts.admin is not None:
            self._parts.admin.give_up()

    def hand_over(self, successor: int) -> None:
        """The process of that id has them, and is the main one from now on.

        Not before: a service manager ends the whole service when its main process ends, and until now this one may be
        told to.
        """
        self._parts.manager.hand_over(successor)

    async def take_back(self) -> None:
        """Nobody has them. Raises StartError."""
        self.take()
        await self.serve()
        self._parts.manager.ready()

    def close(self) -> None:
        """The end: nothing of ours is left behind."""
        self._parts.manager.close()
        if self._parts.admin is not None:
            self._parts.admin.close()
        if self._path:
            pidfile.remove(self._path)
