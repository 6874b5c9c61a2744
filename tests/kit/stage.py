"""Stage: one backend, one Posthouse in front of it, and the sentences that many tests say about them."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from kit.backend import BackendConnection, ScriptedBackend, answer_ok
from kit.client import RawClient, get
from kit.http1 import Fields, Request, Response, Truncated, request, response
from kit.posthouse import Posthouse

ONE_ROUTE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND
}
"""


class Stage:
    """Posthouse with `caddyfile` (BACKEND is the backend's address) before one ScriptedBackend; other
    arguments go to Posthouse.

    Meant for a whole module; `clear()` before each test makes it as good as new.
    """

    def __init__(self, caddyfile: str = ONE_ROUTE, **options: Any) -> None:
        self._clients: list[RawClient] = []
        self.backend = ScriptedBackend()
        try:
            self.posthouse = Posthouse(caddyfile, BACKEND=self.backend.address, **options)
        except BaseException:
            self.backend.close()
            raise
        self.port = int(self.posthouse.names.get("PORT", self.posthouse.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_clients()
        self.posthouse.stop()
        self.backend.close()

    def clear(self) -> None:
        """Forget what the backend saw, let it answer 200 "ok" again, drop its connections."""
        self._close_clients()
        self.backend.clear()

    def _close_clients(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()

    def client(self, port: int | None = None) -> RawClient:
        """A new client connection; closed by the next clear() at the latest."""
        client = RawClient(port or self.port)
        self._clients.append(client)
        return client

    def get(
        self,
        target: bytes | str = "/",
        fields: Fields = (),
        *,
        host: bytes | str = "site.test",
        method: str = "GET",
    ) -> Response:
        """One request on a connection of its own."""
        return get(self.port, target, fields, host=host, method=method)

    def assert_serves(self, host: bytes | str = "site.test") -> None:
        """A new client gets the answer that was meant for it, and nothing odd ever reached the backend."""
        self.backend.on_request, self.backend.on_connect = answer_ok, None
        answer = self.get("/alive", host=host)
        assert (answer.status, answer.body) == (200, b"ok")
        assert self.backend.requests[-1].target == b"/alive"
        assert self.backend.violations == []

    def assert_refused(self, data: bytes, *statuses: int, pieces: int = 0) -> Response:
        """The data gets one of the statuses (400) and a close, and no byte of it reaches the backend.

        pieces  if given, how many bytes are sent at a time
        """
        with self.client() as client:
            if pieces:
                client.send_pieces(data, pieces)
            else:
                client.send(data)
            answer = client.read_response()
            assert answer.status in (statuses or (400,)), answer
            assert client.end() in ("fin", "rst")
            assert client.buffer == b""
        assert self.backend.received() == b""
        assert self.backend.violations == []
        return answer

    def answer_bad(self, data: bytes, *, close: bool = False) -> None:
        """The backend answers /bad with the bytes (and a close), everything else with "good TARGET"."""

        def answer(asked: Request, connection: BackendConnection) -> bytes | None:
            if asked.target != b"/bad":
                return response(200, body=b"good " + asked.target)
            connection.send(data)
            if close:
                connection.close()
            return None

        self.backend.on_request = answer

    def assert_next(self, client: RawClient) -> None:
        """After answer_bad(): if the client's connection was kept, its next request gets its own answer."""
        client.send(request("GET", "/next"))
        try:
            answer = client.read_response()
        except Truncated as ended:
            assert (ended.partial, ended.data) == (None, b"")
        else:
            assert (answer.status, answer.body) == (200, b"good /next")

    def assert_unpoisoned(self) -> None:
        """After answer_bad(): new clients get what they asked for."""
        for number in range(2):
            target = b"/after/%d" % number
            assert self.get(target).body == b"good " + target
        assert self.backend.violations == []


def wait_still(count: Callable[[], int], still: float = 0.3, timeout: float = 10.0) -> int:
    """Wait until the count has not changed for `still` seconds; the count."""
    deadline, changed, last = time.monotonic() + timeout, time.monotonic(), count()
    while time.monotonic() - changed < still:
        assert time.monotonic() < deadline, f"still changing after {timeout} s"
        time.sleep(0.02)
        if (now := count()) != last:
            changed, last = time.monotonic(), now
    return last
