"""Two backends in a fixed order: what several tests of failures and second tries play with."""

from __future__ import annotations

from collections.abc import Callable

from kit import BackendConnection, Posthouse, RawClient, Request, ScriptedBackend, get, response
from kit.http1 import Response
from kit.posthouse import RefusingPort

SITE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    proxy / FIRST SECOND {
        policy first
        PROPERTIES
    }
}
"""

OnRequest = Callable[[Request, BackendConnection], bytes | None]


class Pair:
    """FIRST and SECOND of the Caddyfile; the policy prefers the first. Each answers with its name.

    DEAD is an address where nobody listens.
    """

    def __init__(self, start: Callable[..., Posthouse]) -> None:
        self.first, self.second = ScriptedBackend(named(b"first")), ScriptedBackend(named(b"second"))
        self._refusing = RefusingPort()
        self.dead = self._refusing.address
        self._start = start

    def serve(self, *properties: str, site: str = SITE, **names: str) -> Posthouse:
        """Start with these properties; names replace words of the Caddyfile."""
        site = site.replace("PROPERTIES", "\n        ".join(properties))
        names = {"FIRST": self.first.address, "SECOND": self.second.address, "DEAD": self.dead, **names}
        self.posthouse = self._start(site, **names)
        return self.posthouse

    def get(self, target: str = "/") -> Response:
        return get(self.posthouse.named_port(), target)

    def client(self) -> RawClient:
        return RawClient(self.posthouse.named_port())

    def ask(self, data: bytes, method: str = "GET") -> Response:
        """One exchange on a connection of its own."""
        with self.client() as client:
            return client.exchange(data, method)

    def clear(self) -> None:
        """As good as new, but for what Posthouse remembers."""
        self.first.clear()
        self.second.clear()
        self.first.on_request, self.second.on_request = named(b"first"), named(b"second")

    def close(self) -> None:
        self.first.close()
        self.second.close()
        self._refusing.close()


def named(name: bytes) -> OnRequest:
    return lambda asked, connection: response(200, body=name)


def hang_up(asked: Request, connection: BackendConnection) -> None:
    """Read the request, and close without a word."""
    connection.close()


def reset(asked: Request, connection: BackendConnection) -> None:
    connection.reset()


def garbage(asked: Request, connection: BackendConnection) -> bytes:
    return b"SSH-2.0-x\r\n"


def silent(asked: Request, connection: BackendConnection) -> None:
    connection.wait_end()


def truncated(asked: Request, connection: BackendConnection) -> None:
    """Half of a body with a length."""
    connection.send(response(200, [("Content-Length", "10")], None) + b"12345")
    connection.close()


def truncated_chunk(asked: Request, connection: BackendConnection) -> None:
    """Half of a chunk."""
    connection.send(response(200, [("Transfer-Encoding", "chunked")], None) + b"5\r\n12")
    connection.close()
