"""Connector: on real sockets, on each event loop. Every dial is answered once, and none leaves a descriptor."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from posthouse.config.specs import EndpointSpec, UpstreamTCPSpec, UpstreamTimeouts
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.net.connector import PLAIN, Connector, Dialled, is_quiet
from posthouse.net.connector import Opening as Beginning
from posthouse.net.idle import IdleConnections
from posthouse.net.reactor import Reactor
from posthouse.net.resolver import Address, Resolver
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.protocol.h1 import Codec
from unit.net.fakes import FakeAttempt
from unit.net.sockets import Names, dead_port, open_sockets, serving, serving_on_one_port, silent

AT_ONCE = 0.25
"""Much less than the waits of these tests, much more than a busy machine needs for a connection on loopback."""


def to(host: str, port: int) -> EndpointSpec:
    return EndpointSpec(f"http://{host}:{port}", "http", host, port)


class Dialler:
    """A connector on a loop, with names of our own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.idle = IdleConnections()
        self.connector = Connector(Reactor(loop, Codec()), self.idle)
        self.names = Names(loop, {})
        self.connector._resolver = Resolver(cast(asyncio.AbstractEventLoop, self.names))
        self.answers: list[Dialled] = []
        self.opening = PLAIN

    def start(self, endpoint: EndpointSpec, **timeouts: Any) -> asyncio.Task[None]:
        return self.connector.dial(
            "key", endpoint, UpstreamTimeouts(**timeouts), self.answers.append, self.opening
        )

    def dial(self, endpoint: EndpointSpec, **timeouts: Any) -> Dialled:
        """The answer, which is the only one."""
        before = len(self.answers)
        self.loop.run_until_complete(asyncio.wait_for(self.start(endpoint, **timeouts), 10))
        assert len(self.answers) == before + 1
        assert not self.connector._tasks
        return self.answers[-1]

    def connect(self, endpoint: EndpointSpec, **timeouts: Any) -> UpstreamH1:
        found = self.dial(endpoint, **timeouts)
        assert isinstance(found, UpstreamH1), found
        return found

    def fail(self, endpoint: EndpointSpec, **timeouts: Any) -> Failure:
        """Whatever went wrong, nothing was sent, and no descriptor is left."""
        before = open_sockets()
        found = self.dial(endpoint, **timeouts)
        assert isinstance(found, Failure), found
        assert found.sent is Sent.NOTHING and not found.is_reused and not found.is_response_started
        self.turn()
        assert open_sockets() == before
        return found

    def turn(self, seconds: float = 0.0) -> None:
        """Let the loop finish what it began."""

        async def turns() -> None:
            await asyncio.sleep(seconds)
            for _ in range(20):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    def close(self, connection: UpstreamH1) -> None:
        connection.close()
        self.turn()


@pytest.fixture
def dialler(loop: asyncio.AbstractEventLoop) -> Iterator[Dialler]:
    """Nothing that a test dialled is left open."""
    dialler = Dialler(loop)
    dialler.turn()
    before = open_sockets()
    yield dialler
    for answer in dialler.answers:
        if isinstance(answer, UpstreamH1):
            answer.close()
    dialler.turn()
    assert open_sockets() == before


def exchange(dialler: Dialler, connection: UpstreamH1, server: socket.socket) -> None:
    """A request and its response go over a connection."""
    peer, _ = server.accept()
    with peer:
        attempt = FakeAttempt()
        connection.begin(attempt, 5.0, is_bodiless=False)
        connection.send(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
        connection.wait(5.0, dialler.loop.time())
        dialler.turn()
        assert peer.recv(100).startswith(b"GET / ")
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        dialler.turn(0.01)
        assert attempt.names == ["head", "body", "end"]


# -- one address


@pytest.mark.parametrize("host", ["127.0.0.1", "name.test", ""])
def test_over_tcp(dialler: Dialler, host: str) -> None:
    dialler.names.names |= {"name.test": ["127.0.0.1"], "localhost": ["127.0.0.1"]}
    with serving() as server:
        connection = dialler.connect(to(host, server.getsockname()[1]))
        assert connection.key == "key" and not connection.is_reused
        exchange(dialler, connection, server)


def test_over_a_unix_socket(dialler: Dialler, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        connection = dialler.connect(EndpointSpec("unix:" + path, "http", "", 0, unix=path))
        exchange(dialler, connection, server)


def test_what_a_connection_begins_with(dialler: Dialler) -> None:
    """The preface goes ahead of the request; the socket, and where it is kept, are as asked for."""
    own = IdleConnections()
    dialler.opening = Beginning(None, b"PREFACE", UpstreamTCPSpec(33.0, False), own)
    with serving() as server:
        connection = dialler.connect(to("127.0.0.1", server.getsockname()[1]))
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
        assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        peer, _ = server.accept()
        with peer:
            dialler.turn()
            assert peer.recv(100) == b"PREFACE"
            attempt = FakeAttempt()
            connection.begin(attempt, 5.0, is_bodiless=False)
            connection.send(b"GET")
            dialler.turn()
            assert peer.recv(100) == b"GET"
            peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            dialler.turn(0.01)
            connection.release(1)
            assert len(own) == 1 and len(dialler.idle) == 0
            own.end()


def test_nothing_is_sent_by_itself(dialler: Dialler) -> None:
    with serving() as server:
        connection = dialler.connect(to("127.0.0.1", server.getsockname()[1]))
        sock = connection.transport.get_extra_info("socket")
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()
        dialler.turn()
        peer, _ = server.accept()
        with peer:
            assert peer.recv(100) == b""


def test_refused(dialler: Dialler) -> None:
    failure = dialler.fail(to("127.0.0.1", dead_port()))
    assert (failure.kind, failure.side) == (FailureKind.CONNECT, Side.UPSTREAM)
    assert failure.reason == "Connection refused"


@pytest.mark.parametrize(
    ("make", "reason"), [(False, "No such file or directory"), (True, "Connection refused")]
)
def test_a_unix_socket_that_nobody_serves(dialler: Dialler, tmp_path: Path, make: bool, reason: str) -> None:
    path = str(tmp_path / "s")
    if make:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
    failure = dialler.fail(EndpointSpec("unix:" + path, "http", "", 0, unix=path))
    assert (failure.kind, failure.side, failure.reason) == (FailureKind.CONNECT, Side.UPSTREAM, reason)


def test_too_slow(dialler: Dialler) -> None:
    with silent("127.0.0.1") as port:
        started = dialler.loop.time()
        failure = dialler.fail(to("127.0.0.1", port), connect=0.1)
        assert 0.099 <= dialler.loop.time() - started < 0.1 + AT_ONCE
    assert (failure.kind, failure.side) == (FailureKind.CONNECT_TIMEOUT, Side.UPSTREAM)
    assert "0.1 s" in failure.reason


class Opening:
    """Replaces what opens one address."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, opens: Callable[[UpstreamH1, Address], Any]) -> None:
        async def opening(_: Connector, connection: UpstreamH1, address: Address) -> None:
            await opens(connection, address)

        monkeypatch.setattr(Connector, "_open", opening)


def failing(error: Exception) -> Callable[[UpstreamH1, Address], Any]:
    async def opens(connection: UpstreamH1, address: Address) -> None:
        raise error

    return opens


@pytest.mark.parametrize("connect", [None, 5.0], ids=["no limit of ours", "limit"])
def test_the_system_finds_it_too_slow(
    dialler: Dialler, monkeypatch: pytest.MonkeyPatch, connect: float | None
) -> None:
    Opening(monkeypatch, failing(TimeoutError(errno.ETIMEDOUT, "Connection timed out")))
    failure = dialler.fail(to("127.0.0.1", 80), connect=connect)
    assert (failure.kind, failure.side) == (FailureKind.CONNECT_TIMEOUT, Side.UPSTREAM)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_what_is_no_fault_of_the_backend(
    dialler: Dialler, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    Opening(monkeypatch, failing(OSError(number, "no")))
    failure = dialler.fail(to("127.0.0.1", 80))
    assert (failure.kind, failure.side) == (FailureKind.CONNECT, Side.POSTHOUSE)


class Scarce:
    """No descriptor is left until a connection to the other backend was closed."""

    def __init__(self, dialler: Dialler, warm: int) -> None:
        self.dialler = dialler
        self.warm = warm
        self.told = 0
        dialler.connector.on_exhausted = self.tell
        dialler.connector._idle = cast(IdleConnections, self)

    def __len__(self) -> int:
        return self.warm

    def trim(self, most: int) -> int:
        surplus, self.warm = self.warm - most, most
        return surplus

    def tell(self) -> None:
        self.told += 1

    def forget(self, connection: UpstreamH1) -> None: ...

    async def open(self, connection: UpstreamH1, address: Address) -> None:
        if self.warm in (0, 40):
            raise OSError(errno.EMFILE, "Too many open files")
        loop = self.dialler.loop
        await loop.create_connection(lambda: connection, address.host, address.port)  # type: ignore[type-var]


def test_without_a_descriptor_warm_connections_make_room(
    dialler: Dialler, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce = Scarce(dialler, 40)
    Opening(monkeypatch, scarce.open)
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialler.connect(to("127.0.0.1", server.getsockname()[1]))
    assert (scarce.warm, scarce.told) == (24, 0)


def test_without_a_descriptor_and_nothing_warm_somebody_is_told(
    dialler: Dialler, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce = Scarce(dialler, 0)
    Opening(monkeypatch, scarce.open)
    failure = dialler.fail(to("127.0.0.1", 80))
    assert (failure.kind, failure.side, scarce.told) == (FailureKind.CONNECT, Side.POSTHOUSE, 1)


def test_a_name_that_is_not_found_for_want_of_descriptors(
    dialler: Dialler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver says only that it could not tell."""

    monkeypatch.setattr("posthouse.net.connector._is_exhausted", lambda: True)
    failure = dialler.fail(to("unknown.test", 80))
    assert (failure.kind, failure.side) == (FailureKind.DNS, Side.POSTHOUSE)


def test_whether_a_descriptor_is_left() -> None:
    script = """
import resource
from posthouse.net import connector
print(connector._is_exhausted())
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
print(connector._is_exhausted())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("error", [RuntimeError("odd"), ValueError(), OSError("without a number")], ids=repr)
def test_every_dial_is_answered(dialler: Dialler, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever goes wrong: an exchange waits for nothing else."""
    Opening(monkeypatch, failing(error))
    failure = dialler.fail(to("127.0.0.1", 80))
    assert failure.kind is FailureKind.CONNECT and failure.reason


# -- names


@pytest.mark.parametrize("host", ["unknown.test", "a" * 64 + ".test", "a..test"])
def test_names_that_mean_nothing(dialler: Dialler, host: str) -> None:
    if host != "unknown.test":
        dialler.names.names[host] = UnicodeError("label empty or too long")
    failure = dialler.fail(to(host, 80))
    assert (failure.kind, failure.side) == (FailureKind.DNS, Side.UPSTREAM)
    assert host in failure.reason


def test_names_that_the_system_does_not_even_look_up(dialler: Dialler) -> None:
    dialler.connector._resolver = Resolver(dialler.loop)
    assert dialler.dial(to("a" * 64, 80)) == Failure(
        FailureKind.DNS, Side.UPSTREAM, "a" * 64 + ": not a host name", Sent.NOTHING
    )


def test_the_last_good_answer_serves(dialler: Dialler) -> None:
    with serving() as server:
        endpoint = to("a.test", server.getsockname()[1])
        dialler.names.names["a.test"] = ["127.0.0.1"]
        dialler.connect(endpoint)
        dialler.names.names["a.test"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
        dialler.names.now = 10_000.0
        dialler.connect(endpoint)
        assert dialler.names.asked == ["a.test"] * 2


def test_a_changed_address_is_followed(dialler: Dialler) -> None:
    with serving("127.0.0.2") as server:
        endpoint = to("a.test", server.getsockname()[1])
        dialler.names.names["a.test"] = ["127.0.0.1"]
        assert dialler.fail(endpoint).reason == "Connection refused"
        dialler.names.names["a.test"] = ["127.0.0.2"]
        dialler.names.now = 10.0
        dialler.connect(endpoint)


def test_a_name_server_that_is_silent_is_too_slow(dialler: Dialler) -> None:
    dialler.names.gate = asyncio.Event()
    failure = dialler.fail(to("a.test", 80), connect=0.05)
    assert failure.kind is FailureKind.CONNECT_TIMEOUT
    dialler.names.gate.set()
    dialler.turn()


# -- several addresses


def test_the_first_address_comes_first(dialler: Dialler) -> None:
    with serving_on_one_port("127.0.0.1", "127.0.0.2") as (first, second):
        dialler.names.names["a.test"] = ["127.0.0.1", "127.0.0.2"]
        connection = dialler.connect(to("a.test", first.getsockname()[1]))
        assert connection.transport.get_extra_info("peername")[0] == "127.0.0.1"
        exchange(dialler, connection, first)
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.accept()


def test_a_dead_address_costs_nothing(dialler: Dialler) -> None:
    """The next one is tried at once."""
    with serving("127.0.0.2") as server:
        dialler.names.names["a.test"] = ["127.0.0.1", "127.0.0.3", "127.0.0.2"]
        started = dialler.loop.time()
        connection = dialler.connect(to("a.test", server.getsockname()[1]), fallback_delay=5.0)
        assert dialler.loop.time() - started < AT_ONCE
        exchange(dialler, connection, server)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_localhost_that_is_served_on_ipv4_only(dialler: Dialler) -> None:
    with serving() as server:
        dialler.names.names["localhost"] = ["::1", "127.0.0.1"]
        exchange(dialler, dialler.connect(to("localhost", server.getsockname()[1])), server)


def test_a_silent_address_costs_the_fallback_delay(dialler: Dialler) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving("127.0.0.2"))
        port = server.getsockname()[1]
        stack.enter_context(silent("127.0.0.1", port))
        dialler.names.names["a.test"] = ["127.0.0.1", "127.0.0.2"]
        started = dialler.loop.time()
        connection = dialler.connect(to("a.test", port), fallback_delay=0.05)
        assert 0.05 <= dialler.loop.time() - started < 0.05 + AT_ONCE
        exchange(dialler, connection, server)


def test_all_addresses_are_dead(dialler: Dialler) -> None:
    dialler.names.names["a.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    failure = dialler.fail(to("a.test", dead_port()))
    assert (failure.kind, failure.reason) == (FailureKind.CONNECT, "Connection refused")


def test_all_addresses_are_silent_or_dead(dialler: Dialler) -> None:
    with silent("127.0.0.1") as port:
        dialler.names.names["a.test"] = ["127.0.0.1", "127.0.0.2"]
        failure = dialler.fail(to("a.test", port), connect=0.15, fallback_delay=0.05)
    assert failure.kind is FailureKind.CONNECT_TIMEOUT


@pytest.mark.parametrize("dead", [False, True], ids=["both live", "one dead"])
def test_racing_leaves_one_connection(dialler: Dialler, dead: bool) -> None:
    """Without a delay all addresses are dialled at the same time: the losers are closed, silently."""
    hosts = ["127.0.0.1"] if dead else ["127.0.0.1", "127.0.0.2"]
    with serving_on_one_port(*hosts) as servers:
        dialler.names.names["a.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
        before = open_sockets()
        connection = dialler.connect(to("a.test", servers[0].getsockname()[1]), fallback_delay=0.0)
        dialler.turn(0.01)
        assert open_sockets() == before + 1
        assert not connection.transport.is_closing()


def test_losers_that_end_together_with_the_winner(dialler: Dialler, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that nobody looks at any more is no complaint of the event loop."""
    original = Connector._open
    gate = asyncio.Event()

    async def together(self: Connector, connection: UpstreamH1, address: Address) -> None:
        try:
            await original(self, connection, address)
        finally:
            await gate.wait()

    monkeypatch.setattr(Connector, "_open", together)
    with serving() as server:
        dialler.names.names["a.test"] = ["127.0.0.2", "127.0.0.1", "127.0.0.3", "127.0.0.1"]
        before = open_sockets()
        for _ in range(10):
            gate.clear()
            dialler.names.now += 10.0
            dialler.loop.call_later(0.02, gate.set)
            connection = dialler.connect(to("a.test", server.getsockname()[1]), fallback_delay=0.0)
            dialler.turn()
            assert open_sockets() == before + 1
            dialler.close(connection)


# -- peers that close at once


def test_a_connection_that_is_lost_before_it_is_handed_out(
    dialler: Dialler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port forwarder without anything behind it. With several addresses the race takes some turns of the loop."""
    original = Connector._open

    async def slowly(self: Connector, connection: UpstreamH1, address: Address) -> None:
        await original(self, connection, address)
        server.accept()[0].close()
        for _ in range(10_000):
            if connection.transport.is_closing():
                return
            await asyncio.sleep(0)

    monkeypatch.setattr(Connector, "_open", slowly)
    with serving() as server:
        port = server.getsockname()[1]
        for addresses in (["127.0.0.1"], ["127.0.0.1", "127.0.0.1"]):
            dialler.names.names["a.test"] = addresses
            dialler.names.now += 10.0
            assert dialler.fail(to("a.test", port)).kind is FailureKind.CONNECT


def test_a_connection_that_is_lost_after_it_was_handed_out(dialler: Dialler) -> None:
    """Then the attempt is told, as soon as it begins."""
    with serving() as server:
        connection = dialler.connect(to("127.0.0.1", server.getsockname()[1]))
        attempt = FakeAttempt()
        connection.begin(attempt, 5.0, is_bodiless=False)
        server.accept()[0].close()
        dialler.turn(0.01)
        assert attempt.failure is not None and attempt.failure.sent is Sent.NOTHING


def test_a_peer_that_speaks_first_is_not_used(dialler: Dialler) -> None:
    """Bytes before the request are no response to it."""
    with serving() as server:
        connection = dialler.connect(to("127.0.0.1", server.getsockname()[1]))
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"220 smtp.test ready\r\n")
            dialler.turn(0.01)
            assert connection.transport.is_closing()


# -- dials that are called off


def called_off(dialler: Dialler, endpoint: EndpointSpec, turns: int, **timeouts: Any) -> None:
    before = open_sockets()

    async def begin_and_cancel() -> None:
        task = dialler.start(endpoint, **timeouts)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.005)

    answered = len(dialler.answers)
    dialler.loop.run_until_complete(begin_and_cancel())
    for answer in dialler.answers[answered:]:
        assert isinstance(answer, UpstreamH1), "called off too late: it was there already"
        dialler.close(answer)
    assert open_sockets() == before
    assert not dialler.connector._tasks


@pytest.mark.parametrize("turns", range(10))
def test_called_off_at_any_moment(dialler: Dialler, turns: int) -> None:
    """No descriptor stays open, no answer comes afterwards."""
    with serving_on_one_port("127.0.0.1", "127.0.0.2") as (first, _):
        dialler.names.names["a.test"] = ["127.0.0.2", "127.0.0.1"]
        port = first.getsockname()[1]
        for host in ("127.0.0.1", "a.test"):
            for delay in (0.3, 0.0):
                dialler.names.now += 10.0
                called_off(dialler, to(host, port), turns, fallback_delay=delay)


@pytest.mark.parametrize("turns", [1, 5])
def test_called_off_while_it_waits(dialler: Dialler, turns: int) -> None:
    with silent("127.0.0.1") as port:
        dialler.names.names["a.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
        called_off(dialler, to("127.0.0.1", port), turns)
        called_off(dialler, to("a.test", port), turns, fallback_delay=0.0)


def test_called_off_while_it_resolves(dialler: Dialler) -> None:
    dialler.names.gate = asyncio.Event()
    called_off(dialler, to("a.test", 80), 3)
    dialler.names.gate.set()
    dialler.turn()
    assert dialler.answers == []


def test_called_off_on_a_unix_socket(dialler: Dialler, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        for turns in range(6):
            called_off(dialler, EndpointSpec("unix:" + path, "http", "", 0, unix=path), turns)


# -- a look before a request that can't be sent twice


def test_a_quiet_connection(dialler: Dialler) -> None:
    with serving() as server:
        connection = dialler.connect(to("127.0.0.1", server.getsockname()[1]))
        with server.accept()[0]:
            assert is_quiet(connection)


@pytest.mark.parametrize("happens", ["speaks", "ends", "closes"])
def test_a_connection_that_is_not_quiet(dialler: Dialler, happens: str) -> None:
    """The loop has not told us yet; the kernel knows."""
    with serving() as server:
        connection = dialler.connect(to("127.0.0.1", server.getsockname()[1]))
        peer, _ = server.accept()
        with peer:
            if happens == "speaks":
                peer.sendall(b"x")
            elif happens == "ends":
                peer.shutdown(socket.SHUT_WR)
            else:
                peer.close()
            assert not is_quiet(connection)


def test_a_connection_without_a_socket_is_quiet(dialler: Dialler) -> None:
    class NoSocket:
        def get_extra_info(self, name: str) -> None:
            return None

        def abort(self) -> None:
            """Nothing to cut."""

    connection = UpstreamH1(Reactor(dialler.loop, Codec()), dialler.idle, "key")
    connection.transport = cast(asyncio.Transport, NoSocket())
    assert is_quiet(connection)
