"""ScriptedBackend: a raw-socket backend whose behaviour is a Python function, and which forgets nothing."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from kit import http1
from kit.http1 import BadMessage, Request, Truncated

OnRequest = Callable[[Request, "BackendConnection"], bytes | None]
OnConnect = Callable[["BackendConnection"], None]

PATIENCE = 20.0
"""Seconds after which a wait for an event gives up: far more than a slow machine needs, and no test is about it."""


def answer_ok(asked: Request, connection: BackendConnection) -> bytes:
    """200 "ok", for every method."""
    body = b"ok"
    return http1.response(200, body=body)[: -len(body) if asked.method == b"HEAD" else None]


class BackendConnection:
    """One accepted connection, with every byte that came (`received`) and went (`sent`).

    ended  how the peer ended it as far as was read: "" (not yet), "fin" or "rst"
    """

    def __init__(self, backend: ScriptedBackend, sock: socket.socket, number: int) -> None:
        self.backend = backend
        self.socket = sock
        self.number = number
        self.buffer = bytearray()
        self.received = bytearray()
        self.sent = bytearray()
        self.ended = ""
        self.is_closed = False
        self._gone = threading.Event()
        self._among = backend.connections

    def fill(self) -> str:
        """Read once; "" if bytes came, else "fin" or "rst"."""
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            self.ended = "rst"
            return self.ended
        if not data:
            self.ended = "fin"
        self.buffer += data
        with self.backend.changed:
            self.received += data
            self.backend.changed.notify_all()
        return self.ended

    def read_head(self) -> Request | None:
        """The next request head without its body; None when the peer ended cleanly before one began."""
        try:
            parsed = http1.parse_request_head(http1.read_head(self))
        except Truncated as ended:
            if ended.data:
                raise
            return None
        parsed.connection = self.number
        if not self.is_forgotten:
            self.backend.record_head(parsed)
        return parsed

    def read_request(self) -> Request | None:
        """The next request with its body, recorded when it is complete; None at the end of the connection.

        Raises BadMessage for what is no normal-form request, Truncated for a piece of one.
        """
        asked = self.read_head()
        if asked is None:
            return None
        try:
            http1.read_body(self, asked)
        except Truncated:
            if not self.is_forgotten:
                self.backend.unfinished.append(asked)
            raise
        if not self.is_forgotten:
            self.backend.record(asked)
        return asked

    @property
    def is_forgotten(self) -> bool:
        """Was it accepted before the last clear()? What its thread learns after that is nothing to the next test."""
        return self._among is not self.backend.connections

    def send(self, data: bytes) -> None:
        """Send all of it; a peer that has gone is no error."""
        self.sent += data
        try:
            self.socket.sendall(data)
        except OSError:
            self.ended = self.ended or "rst"

    def wait_end(self, timeout: float = PATIENCE) -> str:
        """Read until the peer ends the connection: "fin" or "rst"; "open" after the timeout."""
        deadline = time.monotonic() + timeout
        try:
            while not self.ended and (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                self.fill()
        except TimeoutError:
            pass
        finally:
            if not self.is_closed:
                self.socket.settimeout(self.backend.timeout)
        return self.ended or "open"

    def wait_received(self, count: int, timeout: float = PATIENCE) -> bytes:
        """Wait, from any thread, until at least `count` bytes were read from it; all of them. AssertionError if not.

        To know of the connection is not enough before its end is provoked: at a reset the kernel drops what
        nobody has read yet.
        """
        with self.backend.changed:
            done = self.backend.changed.wait_for(lambda: len(self.received) >= count, timeout)
            assert done, f"{len(self.received)} of {count} bytes came"
            return bytes(self.received)

    def wait_gone(self, timeout: float = PATIENCE) -> bool:
        """Wait, from any thread, until it is closed; `received` is then whole."""
        return self._gone.wait(timeout)

    def finish_sending(self) -> None:
        """Send FIN and keep reading."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self) -> None:
        """Close with RST. May be called from any thread: SHUT_RD, which sends nothing, wakes a reader that
        would otherwise hold the socket open."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        """Close; unread bytes are read first, so that the peer sees FIN and not RST."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            self.socket.setblocking(False)
            self.received += self.socket.recv(1 << 20)
        except OSError:
            pass
        finally:
            self.socket.close()
            self._gone.set()


class ScriptedBackend:
    """Listens on loopback, on a free port unless one is given; each connection is served by a thread of its own.

    on_request  asked for every complete request; may be changed at any time, kept connections see the change
    on_connect  if set, takes over each new connection whole (it reads, records and sends by itself)
    heads       of every request that came, complete or not, in the order of their arrival
    requests    complete requests in the order of their end; unfinished: those whose body broke off
    connections every connection accepted since the last clear()
    violations  what came and was no normal-form request: one line each
    """

    def __init__(
        self,
        on_request: OnRequest = answer_ok,
        *,
        timeout: float = 30.0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.on_request = on_request
        self.on_connect: OnConnect | None = None
        self.timeout = timeout
        self.heads: list[Request] = []
        self.requests: list[Request] = []
        self.unfinished: list[Request] = []
        self.connections: list[BackendConnection] = []
        self.violations: list[str] = []
        self.changed = threading.Condition()
        self._listener = socket.create_server((host, port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self._threads: list[threading.Thread] = []
        self._is_closing = False
        self._released = threading.Event()
        self._accepter = threading.Thread(target=self._accept, name=f"backend {self.port}", daemon=True)
        self._accepter.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record_head(self, asked: Request) -> None:
        """Note a request whose body may be missing still, and wake who waits for it."""
        with self.changed:
            self.heads.append(asked)
            self.changed.notify_all()

    def record(self, asked: Request) -> None:
        """Note a complete request and wake who waits for it."""
        with self.changed:
            self.requests.append(asked)
            self.changed.notify_all()

    def violate(self, what: str) -> None:
        """Note that something arrived that is no normal-form request."""
        with self.changed:
            self.violations.append(what)
            self.changed.notify_all()

    def wait_heads(self, count: int, timeout: float = PATIENCE) -> list[Request]:
        """Wait until at least `count` heads were read, whatever becomes of their bodies; all of them."""
        with self.changed:
            done = self.changed.wait_for(lambda: len(self.heads) >= count, timeout)
            assert done, f"{len(self.heads)} of {count} heads arrived"
            return list(self.heads)

    def wait_head(self, target: bytes) -> Request:
        """Wait until a head with that target was read, whoever else came before."""
        with self.changed:
            done = self.changed.wait_for(lambda: any(one.target == target for one in self.heads), PATIENCE)
            assert done, f"{target!r} is not among {[one.target for one in self.heads]}"
            return next(one for one in self.heads if one.target == target)

    def wait_requests(self, count: int, timeout: float = PATIENCE) -> list[Request]:
        """Wait until at least `count` requests are complete; all of them. AssertionError if not."""
        with self.changed:
            done = self.changed.wait_for(lambda: len(self.requests) >= count, timeout)
            assert done, f"{len(self.requests)} of {count} requests arrived"
            return list(self.requests)

    def wait_connections(self, count: int, timeout: float = PATIENCE) -> list[BackendConnection]:
        """Wait until at least `count` connections were accepted since the last clear(); nothing need have been
        read from them yet (see wait_heads)."""
        with self.changed:
            done = self.changed.wait_for(lambda: len(self.connections) >= count, timeout)
            assert done, f"{len(self.connections)} of {count} connections came"
            return list(self.connections)

    def received(self) -> bytes:
        """Every byte of every connection since the last clear(), one after the other."""
        return b"".join(bytes(connection.received) for connection in list(self.connections))

    def clear(self) -> None:
        """Forget what was recorded, answer 200 "ok" again, and end all connections that are open."""
        self.on_request, self.on_connect = answer_ok, None
        self.release()
        self.close_connections()
        with self.changed:
            self.heads, self.requests, self.unfinished = [], [], []
            self.connections, self.violations = [], []

    def hold(self) -> None:
        """For scripts that must not read: block the calling thread until release() (or close())."""
        self._released.wait(self.timeout)

    def release(self) -> None:
        """Let go all threads in hold()."""
        self._released.set()
        self._released = threading.Event()

    def close_connections(self) -> None:
        """End every open connection from this side (their threads see the end and stop)."""
        for connection in list(self.connections):
            if not connection.is_closed:
                try:
                    connection.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self) -> None:
        """Stop listening, end all connections, join all threads."""
        self._is_closing = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self._accepter.join(5)
        self.release()
        self.close_connections()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(self.timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                connection = BackendConnection(self, sock, len(self.connections))
                self.connections.append(connection)
                self.changed.notify_all()
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: BackendConnection) -> None:
        try:
            if self.on_connect is not None:
                self.on_connect(connection)
                return
            while (asked := connection.read_request()) is not None:
                answer = self.on_request(asked, connection)
                if answer is not None:
                    connection.send(answer)
                if connection.is_closed:
                    return
        except BadMessage as bad:
            self._blame(connection, str(bad))
        except Truncated as ended:
            if ended.in_head and not self._is_closing:
                self._blame(connection, f"piece of a head: {ended.data[:200]!r}")
        except TimeoutError:
            self._blame(connection, "nothing came for too long")
        except OSError:
            pass
        finally:
            connection.close()

    def _blame(self, connection: BackendConnection, what: str) -> None:
        if not connection.is_forgotten:
            self.violate(what)
