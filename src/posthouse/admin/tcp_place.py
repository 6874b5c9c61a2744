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
    """

    is_wanted = True
    paths = PUBLIC

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def __repr__(self) -> str:
        return f"<TCPPlace {self.address}>"

    @property
    def address(self) -> str:
        """As people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def claim(self) -> socket.socket:
        """A socket that listens there. Raises StartError."""
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

    def remove(self) -> None:
        """Nothing is left in the file system."""
