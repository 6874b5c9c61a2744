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
        self.received += data
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
            self.backend.unfinished.append(asked)
            raise
        self.backend.record(asked)
        return asked

    def send(self, data: bytes) -> None:
        """Send all of it; a peer that has gone is no error."""
        self.sent += data
        try:
            self.socket.sendall(data)
        except OSError:
            self.ended = self.ended or "rst"

    def wait_end(self, timeout: float = 5.0) -> str:
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

    def wait_gone(self, timeout: float = 5.0) -> bool:
        """Wait, from any thread, until the script of this connection has ended and it is closed."""
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
        self._gone.set()
        try:
            self.socket.setblocking(False)
            self.received += self.socket.recv(1 << 20)
        except OSError:
            pass
        self.socket.close()


class ScriptedBackend:
    """Listens on loopback, on a free port unless one is given; each connection is served by a thread of its own.

    on_request  asked for every complete request; may be changed at any time, kept connections see the change
    on_connect  if set, takes over each new connection whole (it reads, records and sends by itself)
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
        self.requests: list[Request] = []
        self.unfinished: list[Request] = []
        self.connections: list[BackendConnection] = []
        self.violations: list[str] = []
        self._changed = threading.Condition()
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

    def record(self, asked: Request) -> None:
        """Note a complete request and wake who waits for it."""
        with self._changed:
            self.requests.append(asked)
            self._changed.notify_all()

    def violate(self, what: str) -> None:
        """Note that something arrived that is no normal-form request."""
        with self._changed:
            self.violations.append(what)
            self._changed.notify_all()

    def wait_requests(self, count: int, timeout: float = 5.0) -> list[Request]:
        """Wait until at least `count` requests are complete; all of them. AssertionError if not."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.requests) >= count, timeout)
            assert done, f"{len(self.requests)} of {count} requests arrived"
            return list(self.requests)

    def wait_connections(self, count: int, timeout: float = 5.0) -> list[BackendConnection]:
        """Wait until at least `count` connections were accepted since the last clear()."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.connections) >= count, timeout)
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
        with self._changed:
            self.requests, self.unfinished, self.connections, self.violations = [], [], [], []

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
            with self._changed:
                connection = BackendConnection(self, sock, len(self.connections))
                self.connections.append(connection)
                self._changed.notify_all()
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
            self.violate(str(bad))
        except Truncated as ended:
            if ended.in_head and not self._is_closing:
                self.violate(f"piece of a head: {ended.data[:200]!r}")
        except TimeoutError:
            self.violate("nothing came for too long")
        except OSError:
            pass
        finally:
            connection.close()
