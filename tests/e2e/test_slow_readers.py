"""Slow readers: byte for byte with several at once, and in bounded memory. On both event loops.

The size of the bodies that measure memory is 128 MiB; with POSTHOUSE_LARGE=1 in the environment it is 1 GiB.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.bodies import CHUNKED, LOOPS, MIB, POOL, coded, same, stage_on
from kit import (
    BackendConnection,
    Posthouse,
    RawClient,
    Request,
    Stage,
    chunk,
    http1,
    request,
    response,
    wait_still,
)

LARGE = (1024 if os.environ.get("POSTHOUSE_LARGE") else 128) * MIB
BOUND = 64 * MIB
"""How far the process may grow over its idle size, whatever the body."""

IDLE: dict[int, int] = {}
"""Size of each process, by its pid, when it had served one small request."""

BLOCK = POOL[:MIB]
BLOCK_CHUNK = chunk(BLOCK, last=False)


@pytest.fixture(scope="module", params=LOOPS)
def shared_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage_on(request.param) as started:
        IDLE[started.posthouse.pid] = started.posthouse.memory()
        yield started


# Slow readers, several at once.


def read_in_turns(clients: list[RawClient]) -> None:
    """Everything into the clients' buffers, small odd pieces in turns, until all connections have ended."""
    chance = random.Random(3)
    left = list(clients)
    while left:
        client = chance.choice(left)
        data = client.socket.recv(chance.choice((1_000, 4_096, 17_000, 50_000)))
        client.buffer += data
        if not data:
            left.remove(client)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_interleaved_slow_downloads(stage: Stage, framing: str) -> None:
    """Exchanges over one loop, all with a full write buffer: no byte of one gets into another."""
    bodies = [POOL[number * MIB : (number + 6) * MIB] for number in range(0, 18, 6)]
    fields = [CHUNKED] if framing == "chunked" else [("Content-Length", str(6 * MIB))]

    def answer(asked: Request, connection: BackendConnection) -> None:
        body = bodies[int(asked.target[1:])]
        connection.socket.sendall(response(200, fields, None) + coded(body, framing))

    stage.backend.on_request = answer
    clients = [stage.client() for _ in bodies]
    for number, client in enumerate(clients):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.send(request("GET", f"/{number}", [("Connection", "close")]))
    read_in_turns(clients)
    for client, body in zip(clients, bodies, strict=True):
        assert same(client.read_response().body, body)
        client.close()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_interleaved_slow_uploads(stage: Stage, framing: str) -> None:
    bodies = [POOL[number * MIB : (number + 6) * MIB] for number in range(0, 18, 6)]
    fields = [CHUNKED] if framing == "chunked" else [("Content-Length", str(6 * MIB))]
    found: dict[bytes, Request] = {}

    def read_slowly(connection: BackendConnection) -> None:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)
        # One whose client comes late may get the connection of one that is over already.
        while (asked := connection.read_head()) is not None:
            read_small(connection, asked)
            found[asked.target] = asked
            connection.send(response(200))

    def read_small(connection: BackendConnection, asked: Request) -> None:
        while not (
            len(connection.buffer) == 6 * MIB
            if framing == "length"
            else connection.buffer.endswith(b"0\r\n\r\n")
        ):
            data = connection.socket.recv(7_000)
            assert data
            connection.buffer += data
        http1.read_body(connection, asked)

    stage.backend.on_connect = read_slowly
    clients = [stage.client() for _ in bodies]
    sending = []
    for number, client in enumerate(clients):
        data = request("PUT", f"/{number}", fields) + coded(bodies[number], framing)
        sending.append(threading.Thread(target=client.send, args=(data,)))
        sending[-1].start()
    for number, client in enumerate(clients):
        assert client.read_response().status == 200
        assert same(found[b"/%d" % number].body, bodies[number])
        sending[number].join(10)
        client.close()


# Memory.


class Memory:
    """The peak of the process since this was made, and its size when it was idle."""

    def __init__(self, posthouse: Posthouse, idle: int) -> None:
        self.posthouse = posthouse
        self.idle = idle
        Path(f"/proc/{posthouse.worker}/clear_refs").write_text("5")

    def assert_bounded(self, bound: int = BOUND) -> None:
        status = Path(f"/proc/{self.posthouse.worker}/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
        assert peak - self.idle < bound, f"grew by {(peak - self.idle) / MIB:.1f} MiB"


@pytest.fixture
def memory(stage: Stage) -> Memory:
    return Memory(stage.posthouse, IDLE[stage.posthouse.pid])


class Source:
    """Sends a body of LARGE bytes block by block, made on the fly; `sent` bytes so far."""

    def __init__(self, framing: str) -> None:
        self.framing = framing
        self.sent = 0

    def fields(self) -> list[tuple[str, str]]:
        return {"length": [("Content-Length", str(LARGE))], "chunked": [CHUNKED]}.get(self.framing, [])

    def send(self, sock: socket.socket) -> None:
        view = memoryview(BLOCK_CHUNK if self.framing == "chunked" else BLOCK)
        for _ in range(LARGE // MIB):
            for at in range(0, len(view), 65_536):
                sock.sendall(view[at : at + 65_536])
                self.sent += 65_536
        if self.framing == "chunked":
            sock.sendall(chunk())


def count_rest(sock: socket.socket, done: Callable[[int, bytes], bool]) -> int:
    """Read and drop until `done(bytes so far, last piece)` or the end; how many came."""
    buffer, count = bytearray(1 << 18), 0
    while got := sock.recv_into(buffer):
        count += got
        if done(count, bytes(buffer[max(got - 5, 0) : got])):
            break
    return count


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_download_to_a_slow_reader(stage: Stage, memory: Memory, framing: str) -> None:
    """It reads a little, stalls, reads on slowly, and takes the rest as fast as it comes."""
    source = Source(framing)

    def answer(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, source.fields(), None))
        source.send(connection.socket)

    stage.backend.on_request = answer
    with stage.client() as client:
        client.send(request("GET", "/"))
        head = client.read_head()
        count = len(client.buffer)
        wait_still(lambda: source.sent)
        assert source.sent < LARGE
        memory.assert_bounded()
        while count < 8 * MIB:
            count += len(client.socket.recv(10_000))
        last = bytes(client.buffer)[-5:]
        if head.framing == "length":
            count += count_rest(client.socket, lambda got, _: count + got >= LARGE)
            assert count == LARGE
        else:
            count += count_rest(client.socket, lambda got, piece: (last + piece).endswith(b"0\r\n\r\n"))
            assert count > LARGE
        memory.assert_bounded()
        assert client.is_open()


@pytest.mark.parametrize(("method", "framing"), [("POST", "length"), ("PUT", "length"), ("PUT", "chunked")])
def test_large_upload_to_a_slow_reader(stage: Stage, memory: Memory, method: str, framing: str) -> None:
    """The backend stalls after the head, then reads; a PUT may be replayed, but not from so much memory."""
    source = Source(framing)
    go = threading.Event()
    counted = []

    def stall(connection: BackendConnection) -> None:
        assert connection.read_head() is not None
        go.wait(30)
        count = len(connection.buffer)
        is_done = (
            (lambda got, _: count + got >= LARGE)
            if framing == "length"
            else (lambda _, piece: piece.endswith(b"0\r\n\r\n"))
        )
        counted.append(count + count_rest(connection.socket, is_done))
        connection.send(response(200))
        connection.wait_end()

    stage.backend.on_connect = stall
    with stage.client() as client:
        client.send(request(method, "/", source.fields()))
        sending = threading.Thread(target=source.send, args=(client.socket,))
        sending.start()
        wait_still(lambda: source.sent)
        assert source.sent < LARGE
        memory.assert_bounded()
        go.set()
        client.socket.settimeout(50)
        assert client.read_response().status == 200
        sending.join(10)
        memory.assert_bounded()
        assert client.is_open()
    assert counted[0] >= LARGE


def test_many_stalled_readers(stage: Stage, memory: Memory) -> None:
    sources = [Source("length") for _ in range(12)]

    def answer(asked: Request, connection: BackendConnection) -> None:
        connection.send(response(200, sources[0].fields(), None))
        sources[int(asked.target[1:])].send(connection.socket)

    stage.backend.on_request = answer
    clients = [stage.client() for _ in sources]
    for number, client in enumerate(clients):
        client.send(request("GET", f"/{number}"))
        assert client.read_head().status == 200
    wait_still(lambda: sum(source.sent for source in sources))
    memory.assert_bounded()
    for client in clients:
        client.reset()
    for connection in stage.backend.connections:
        assert connection.wait_gone()
    stage.assert_serves()
