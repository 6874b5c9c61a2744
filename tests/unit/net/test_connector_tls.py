"""The connector over TLS, on real sockets, each event loop: handshakes, their limits, sessions, quiet connections."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.certificates import server_context, write_authority
from posthouse.config.specs import EndpointSpec, FileSpec, TLSSpec, UpstreamTimeouts
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.net import connector
from posthouse.net.connector import Connector, Dialled, Opening, is_quiet
from posthouse.net.idle import IdleConnections
from posthouse.net.reactor import Reactor
from posthouse.net.tls import ClientTLS, Identities
from posthouse.net.tls_transport import TLSTransport
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.protocol.h1 import Codec
from unit.net.fakes import FakeAttempt
from unit.net.sockets import open_sockets, serving, serving_on_one_port, silent

ASKED = b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Accepts one connection after the other in a thread, does TLS and what a script says."""

    def __init__(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        self.listening = listening
        self.port: int = listening.getsockname()[1]
        self.context = context
        self.peers: list[ssl.SSLSocket] = []
        self.resumed: list[bool] = []
        self.failures: list[Exception] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listening.accept()
                sock.settimeout(5)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    peer = self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
                    self.peers.append(peer)
                    self.resumed.append(bool(peer.session_reused))
                    peer.recv(1000)
                    peer.sendall(OK)
                except (ssl.SSLError, OSError) as error:
                    self.failures.append(error)
                    sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        for peer in self.peers:
            peer.close()


@contextlib.contextmanager
def tls_serving(*names: str, host: str = "127.0.0.1") -> Iterator[Server]:
    with serving(host) as listening:
        server = Server(listening, server_context(*names))
        try:
            yield server
        finally:
            server.close()


class Dialler:
    def __init__(self, loop: asyncio.AbstractEventLoop, tls: ClientTLS) -> None:
        self.loop = loop
        self.idle = IdleConnections()
        self.reactor = Reactor(loop, Codec())
        self.connector = Connector(self.reactor, self.idle)
        self.tls: ClientTLS | None = tls
        self.answers: list[Dialled] = []

    def start(self, endpoint: EndpointSpec, **timeouts: Any) -> asyncio.Task[None]:
        return self.connector.dial(
            "key", endpoint, UpstreamTimeouts(**timeouts), self.answers.append, Opening(self.tls)
        )

    def dial(self, port: int, host: str = "127.0.0.1", **timeouts: Any) -> Dialled:
        endpoint = EndpointSpec(f"https://{host}:{port}", "https", host, port)
        self.loop.run_until_complete(asyncio.wait_for(self.start(endpoint, **timeouts), 10))
        return self.answers[-1]

    def connect(self, port: int, host: str = "127.0.0.1") -> UpstreamH1:
        found = self.dial(port, host)
        assert isinstance(found, UpstreamH1), found
        return found

    def run(self, until: Callable[[], Any]) -> None:
        async def wait() -> None:
            async with asyncio.timeout(10):
                while not until():  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())

    def exchange(self, connection: UpstreamH1) -> None:
        attempt = FakeAttempt()
        connection.begin(attempt, 5.0, is_bodiless=False)
        connection.send(ASKED)
        self.run(lambda: "end" in attempt.names)
        assert attempt.names == ["head", "body", "end"]


@pytest.fixture
def dialler(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[Dialler]:
    authority = FileSpec(write_authority(tmp_path))
    made = Dialler(loop, Identities().get(TLSSpec(ca_certificates=(authority,))))
    made.run(lambda: True)
    before = open_sockets()
    yield made
    for answer in made.answers:
        if isinstance(answer, UpstreamH1):
            answer.close()
    for _ in range(500):
        made.run(lambda: True)
        if open_sockets() <= before:
            break
    assert open_sockets() <= before


def failed(found: Dialled, kind: FailureKind, reason: str) -> None:
    """Whatever happened to the handshake, nothing was sent."""
    assert isinstance(found, Failure), found
    assert (found.kind, found.side, found.sent) == (kind, Side.UPSTREAM, Sent.NOTHING)
    assert found.reason == reason


def test_an_exchange_over_tls(dialler: Dialler) -> None:
    with tls_serving("127.0.0.1") as server:
        connection = dialler.connect(server.port)
        assert isinstance(connection.transport, TLSTransport) and not connection.is_reused
        dialler.exchange(connection)


def test_the_second_handshake_is_a_resumption(dialler: Dialler) -> None:
    with tls_serving("127.0.0.1") as server:
        for _ in range(2):
            dialler.exchange(dialler.connect(server.port))
        assert server.resumed == [False, True]


def test_addresses_race_and_the_winner_shakes_hands(dialler: Dialler) -> None:
    with serving_on_one_port("127.0.0.2") as (listening,), contextlib.ExitStack() as stack:
        port = listening.getsockname()[1]
        stack.enter_context(silent("127.0.0.1", port))
        server = Server(listening, server_context("a.test"))
        stack.callback(server.close)

        async def addresses(*_: object, **__: object) -> list[object]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
                for host in ("127.0.0.1", "127.0.0.2")
            ]

        dialler.connector._resolver._loop = Asked(dialler.loop, addresses)  # type: ignore[assignment]
        connection = dialler.connect(port, "a.test")
        assert connection.transport.get_extra_info("peername")[0] == "127.0.0.2"
        dialler.exchange(connection)


class Asked:
    """A loop whose resolver is ours."""

    def __init__(self, loop: asyncio.AbstractEventLoop, addresses: Any) -> None:
        self.time, self.create_task, self.getaddrinfo = loop.time, loop.create_task, addresses


def test_a_refused_certificate(dialler: Dialler) -> None:
    with tls_serving("other.test") as server:
        failed(
            dialler.dial(server.port),
            FailureKind.TLS,
            "certificate verify failed for 127.0.0.1: IP address mismatch, certificate is for other.test",
        )


def test_a_stalled_handshake_meets_the_limit_that_ends_first(
    dialler: Dialler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as listening:
        port = listening.getsockname()[1]
        failed(
            dialler.dial(port, connect=0.05), FailureKind.CONNECT_TIMEOUT, "no TLS handshake within 0.05 s"
        )
        assert connector.HANDSHAKE_SECONDS == 10
        monkeypatch.setattr(connector, "HANDSHAKE_SECONDS", 0.06)
        for limit in (5.0, None):
            failed(
                dialler.dial(port, connect=limit),
                FailureKind.CONNECT_TIMEOUT,
                "no TLS handshake within 0.06 s",
            )


@contextlib.contextmanager
def nothing_left_to_collect(kind: type) -> Iterator[None]:
    """TLS is too large to wait for the collector: what ends leaves no circle with such an object in it."""
    gc.collect()
    before = [id(one) for one in gc.get_objects() if type(one) is kind]
    gc.disable()
    try:
        yield
        assert not [one for one in gc.get_objects() if type(one) is kind and id(one) not in before]
    finally:
        gc.enable()


def test_a_refused_certificate_is_freed_at_once(dialler: Dialler) -> None:
    with tls_serving("other.test") as server, nothing_left_to_collect(ssl.SSLObject):
        assert isinstance(dialler.dial(server.port), Failure)
        dialler.run(lambda: not any(type(one) is TLSTransport for one in gc.get_objects()))


def test_a_handshake_that_was_called_off_is_freed_at_once(dialler: Dialler) -> None:
    with nothing_left_to_collect(ssl.SSLObject):
        test_called_off_during_the_handshake(dialler)


def test_called_off_during_the_handshake(dialler: Dialler) -> None:
    with serving() as listening:
        port = listening.getsockname()[1]
        task = dialler.start(EndpointSpec("https://a", "https", "127.0.0.1", port))
        peer = dialler.loop.run_until_complete(dialler.loop.run_in_executor(None, listening.accept))[0]
        with peer:
            dialler.run(lambda: select.select([peer], [], [], 0)[0])
            assert peer.recv(65536), "a ClientHello"
            task.cancel()
            dialler.run(task.done)
            dialler.run(lambda: select.select([peer], [], [], 0)[0])
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(65536) == b""
        assert dialler.answers == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_scheme_without_its_identity_is_never_dialled(dialler: Dialler, scheme: Any) -> None:
    """Least of all in the clear."""
    with serving() as listening:
        if scheme == "https":
            dialler.tls = None
        endpoint = EndpointSpec("x", scheme, "127.0.0.1", listening.getsockname()[1])
        dialler.loop.run_until_complete(dialler.start(endpoint))
        (found,) = dialler.answers
        assert isinstance(found, Failure) and found.side is Side.POSTHOUSE
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_quiet_connection(dialler: Dialler) -> None:
    """Tickets that have not been read yet are no noise; data, close_notify and an end are."""
    with tls_serving("127.0.0.1") as server:
        connections = []
        for _ in range(4):
            connections.append(dialler.connect(server.port))
            dialler.exchange(connections[-1])
            connections[-1].release(9)
        quiet, noisy, polite, cut = connections
        assert is_quiet(quiet) and not quiet.transport.is_closing()
        server.peers[1].sendall(b"unasked")
        assert not is_quiet(noisy)
        server.peers[2].settimeout(0)
        with pytest.raises(ssl.SSLWantReadError):
            server.peers[2].unwrap()
        assert not is_quiet(polite)
        server.peers[3].close()
        assert not is_quiet(cut)


def test_a_connection_that_only_has_tickets_to_read_is_quiet(dialler: Dialler) -> None:
    with tls_serving("127.0.0.1") as server:
        connection = dialler.connect(server.port)
        dialler.loop.run_until_complete(dialler.loop.run_in_executor(None, lambda: len(server.peers)))
        assert is_quiet(connection)
        dialler.exchange(connection)


def test_closing_an_idle_connection_says_goodbye(dialler: Dialler) -> None:
    with tls_serving("127.0.0.1") as server:
        connection = dialler.connect(server.port)
        dialler.exchange(connection)
        connection.release(9)
        connection.close()
        assert len(dialler.idle) == 0
        assert (
            dialler.loop.run_until_complete(dialler.loop.run_in_executor(None, server.peers[0].recv, 9))
            == b""
        )


def test_closing_a_busy_one_does_not(dialler: Dialler) -> None:
    with tls_serving("127.0.0.1") as server:
        connection = dialler.connect(server.port)
        connection.begin(FakeAttempt(), 5.0, is_bodiless=False)
        dialler.run(lambda: server.peers)
        connection.close()
        dialler.run(lambda: server.failures)
        assert isinstance(server.failures[0], ssl.SSLEOFError | ConnectionResetError)
