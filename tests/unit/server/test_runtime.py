"""The runtime: what all generations of a worker share."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Iterator

import pytest

from e2e.tls_backends import TLSBackend
from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.watch import Watch
from posthouse.config.specs import CheckSpec, EndpointSpec, HealthSpec, PoolSpec, TLSSpec, UpstreamTimeouts
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.net.connector import Dialled
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.probe.check import Check
from posthouse.protocol.h1 import HeadLimits
from posthouse.server.runtime import Runtime
from unit.server.fakes import Remembering, Somebody, until

TIMEOUTS = UpstreamTimeouts()
POOL = PoolSpec("pool", ())


@pytest.fixture
def runtime(loop: asyncio.AbstractEventLoop, log: Remembering) -> Iterator[Runtime]:
    made = Runtime(loop, log)
    yield made
    made.close()
    loop.run_until_complete(asyncio.sleep(0))


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def backend_at(port: int) -> Backend:
    return Backend(EndpointSpec(f"http://127.0.0.1:{port}", "http", "127.0.0.1", port), 1, Watch())


def dial(runtime: Runtime, backend: Backend) -> Dialled:
    """What a dial comes to."""
    results: list[Dialled] = []
    runtime.dial(backend, POOL, Somebody(), results.append)
    assert results == [], "never before the caller has gone on"
    runtime.loop.run_until_complete(until(lambda: results))
    (result,) = results
    return result


# -- connections ---------------------------------------------------------------------------------------------------


def test_a_dial_brings_a_connection(runtime: Runtime, listening: socket.socket) -> None:
    backend = backend_at(listening.getsockname()[1])
    connection = dial(runtime, backend)
    assert isinstance(connection, UpstreamH1) and connection.key is backend
    connection.close()


def test_a_dial_that_is_refused_is_a_value(runtime: Runtime, listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    listening.close()
    failure = dial(runtime, backend_at(port))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.side, failure.sent) == (FailureKind.CONNECT, Side.UPSTREAM, Sent.NOTHING)
    assert failure.reason == os.strerror(111)


def test_a_dial_that_is_called_off_says_nothing_more(runtime: Runtime, listening: socket.socket) -> None:
    results: list[Dialled] = []
    task = runtime.dial(backend_at(listening.getsockname()[1]), POOL, Somebody(), results.append)
    task.cancel()
    runtime.loop.run_until_complete(until(task.done))
    assert results == []


def test_a_warm_connection_is_found_by_its_backend(runtime: Runtime, listening: socket.socket) -> None:
    backend, other = backend_at(listening.getsockname()[1]), backend_at(1)
    assert runtime.acquire(backend, is_careful=False) is None
    connection = dial(runtime, backend)
    assert isinstance(connection, UpstreamH1)
    runtime.idle.release(connection, 1)
    assert runtime.acquire(other, is_careful=False) is None
    assert runtime.acquire(backend, is_careful=True) is connection
    assert runtime.acquire(backend, is_careful=True) is None, "it is taken"
    connection.close()


def test_a_clients_own_connections(runtime: Runtime, listening: socket.socket) -> None:
    """They begin with its header, no other client's request finds them, and none outlives it."""
    backend, pool = backend_at(listening.getsockname()[1]), PoolSpec("pool", (), proxy_protocol="v1")
    client, other = Somebody(), Somebody("192.0.2.8")
    assert runtime.acquire(backend, is_careful=False, client=client) is None
    results: list[Dialled] = []
    runtime.dial(backend, pool, client, results.append)
    runtime.loop.run_until_complete(until(lambda: results))
    [connection] = results
    assert isinstance(connection, UpstreamH1) and client.own is not None
    peer, _ = listening.accept()
    with peer:
        peer.settimeout(5)
        assert peer.recv(100) == b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n"
        assert connection._idle is client.own
        client.own.release(connection, 1)
        assert runtime.acquire(backend, is_careful=False) is None
        assert runtime.acquire(backend, is_careful=False, client=other) is None
        assert runtime.acquire(backend, is_careful=True, client=client) is connection
        client.own.release(connection, 1)
        client.own.end()
        runtime.loop.run_until_complete(asyncio.sleep(0))
        assert peer.recv(100) == b""


def test_whoever_is_careful_gets_no_connection_that_was_closed(
    runtime: Runtime, listening: socket.socket
) -> None:
    """The event loop has not told us yet: it has not turned since."""
    backend = backend_at(listening.getsockname()[1])
    connections = []
    for _ in range(3):
        connection = dial(runtime, backend)
        assert isinstance(connection, UpstreamH1)
        runtime.idle.release(connection, 9)
        connections.append(connection)
    peers = [listening.accept()[0] for _ in connections]
    peers[2].close()
    peers[1].sendall(b"nobody asked")
    assert runtime.acquire(backend, is_careful=True) is connections[0]
    assert len(runtime.idle) == 0, "the others were closed"
    assert connections[1].transport.is_closing() and connections[2].transport.is_closing()
    connections[0].close()
    peers[0].close()
    peers[1].close()


def test_whoever_is_not_gets_what_is_there(runtime: Runtime, listening: socket.socket) -> None:
    backend = backend_at(listening.getsockname()[1])
    connection = dial(runtime, backend)
    assert isinstance(connection, UpstreamH1)
    runtime.idle.release(connection, 1)
    listening.accept()[0].close()
    assert runtime.acquire(backend, is_careful=False) is connection, "a GET can be sent again"
    connection.close()


def test_the_end_closes_what_is_warm(runtime: Runtime, listening: socket.socket) -> None:
    connection = dial(runtime, backend_at(listening.getsockname()[1]))
    assert isinstance(connection, UpstreamH1)
    runtime.idle.release(connection, 1)
    runtime.close()
    assert connection.transport.is_closing() and len(runtime.idle) == 0


def test_a_warm_connection_of_another_identity_is_not_found(
    runtime: Runtime, listening: socket.socket
) -> None:
    backend = backend_at(listening.getsockname()[1])
    connection = dial(runtime, backend)
    assert isinstance(connection, UpstreamH1)
    runtime.idle.release(connection, 1)
    backend.tls = "other"
    assert runtime.acquire(backend, is_careful=False) is None
    backend.tls = None
    assert runtime.acquire(backend, is_careful=False) is connection
    connection.close()


def test_a_dial_uses_the_backends_identity(runtime: Runtime) -> None:
    with TLSBackend() as server:
        endpoint = EndpointSpec(server.address, "https", "localhost", server.port)
        backend = Backend(endpoint, 1, Watch())
        backend.tls = runtime.identities.get(TLSSpec(insecure_skip_verify=True))
        connection = dial(runtime, backend)
        assert isinstance(connection, UpstreamH1) and connection.key == (backend, backend.tls)
        assert connection.transport.get_extra_info("tls") is not None
        connection.close()


# -- health checks -------------------------------------------------------------------------------------------------


def checked(port: int) -> Check:
    one = backend_at(port)
    head = b"GET /h HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return Check(one, "pool", HealthSpec(CheckSpec("/h"), interval=0.01), one.endpoint, TIMEOUTS, head)


def test_probes_ask_over_connections_of_their_own(
    runtime: Runtime, listening: socket.socket, log: Remembering
) -> None:
    check = checked(listening.getsockname()[1])
    runtime.probes.change([], [check])
    listening.settimeout(5)
    for answer, state in ((b"503 No", State.DOWN), (b"204 Yes", State.UP)):
        runtime.loop.run_until_complete(until(lambda: select.select([listening], [], [], 0)[0]))
        with listening.accept()[0] as peer:
            runtime.loop.run_until_complete(until(lambda p=peer: select.select([p], [], [], 0)[0]))  # type: ignore[misc]
            assert peer.recv(999) == check.head
            peer.sendall(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % answer)
            runtime.loop.run_until_complete(until(lambda s=state: check.backend.state is s))  # type: ignore[misc]
    assert [line["what"] for line in log.lines()] == ["backend down", "backend up"]
    assert len(runtime.idle) == 0
    runtime.close()
    assert len(runtime.probes) == 0


# -- the rest ------------------------------------------------------------------------------------------------------


def test_time_does_not_jump_and_chance_is_a_fraction(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runtime.clock()
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert runtime.clock() >= before
    assert all(0.0 <= runtime.chance() < 1.0 for _ in range(100))


def test_call_later_can_be_called_off(runtime: Runtime) -> None:
    called: list[int] = []
    runtime.call_later(0.0, lambda: called.append(1)).cancel()
    runtime.call_later(0.0, lambda: called.append(2))
    runtime.loop.run_until_complete(until(lambda: called))
    assert called == [2]


class NoPlan:
    limits = HeadLimits()


def test_listeners_share_the_reactor(runtime: Runtime) -> None:
    plan = NoPlan()
    listener = runtime.listener(plan)
    assert listener.reactor is runtime.reactor
    assert listener.plan is plan  # type: ignore[comparison-overlap]
    assert runtime.timers is runtime.reactor.timers


def test_letter_case_of_paths(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    assert Runtime(loop, log).reactor.codec.targets.key("/A") == "/a"
    assert Runtime(loop, log, is_case_sensitive=True).reactor.codec.targets.key("/A") == "/A"
