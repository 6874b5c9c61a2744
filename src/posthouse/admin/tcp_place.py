"""A TCP address for metrics, health and readiness (`--admin-listen`): what can be asked there changes nothing.

Who can reach it is the business of the address: a port alone means this machine.
"""

from __future__ import annotations

import os
import socket

from posthouse.admin.api import PUBLIC
from posthouse.errors import StartError

LOOPBACK = "127.0.0.1"
BACKLOG = 16


class TCPPlace:
    """host   an IP address; a name would be ambiguous about what is reachable
    port   0: the system chooses, and `port` says which from `claim` on
    inherited  a socket that listens there already
    """

    is_wanted = True
    paths = PUBLIC

    def __init__(self, host: str, port: int, inherited: socket.socket | None = None) -> None:
        self.host = host
        self.port = port
        self._listening = inherited

    def __repr__(self) -> str:
        return f"<TCPPlace {self.address}>"

    @property
    def address(self) -> str:
        """As people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def listening(self) -> tuple[tuple[str, int], socket.socket] | None:
        """See `server.Place`."""
        return ((self.host, self.port), self._listening) if self._listening is not None else None

    def claim(self) -> socket.socket:
        """A socket that listens there. Raises StartError.

        It is a copy: who connects while nobody answers, because one process takes another's place, waits.
        """
        if self._listening is None:
            self._listening = self._bind()
        return self._listening.dup()

    def give_up(self) -> None:
        """See `server.Place`: whoever has the other copy may answer."""

    def remove(self) -> None:
        """Nobody is to wait any more."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _bind(self) -> socket.socket:
        listening = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if listening.family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((self.host, self.port))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(f"--admin-listen {self.address}: {reason}") from None
        self.port = listening.getsockname()[1]
        return listening
