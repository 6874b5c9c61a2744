"""Backends over TLS for tests: what a ScriptedBackend is, with what was seen of each handshake."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kit import Request, response
from kit.backend import PATIENCE
from kit.certificates import server_context
from kit.http1 import BadMessage, Truncated, parse_request_head, read_body, read_head

OnRequest = Callable[[Request, "TLSPeer"], bytes | None]


@dataclass
class Handshake:
    """What a backend saw: the name asked for, whether a session was resumed, our certificate; or why it failed."""

    sni: str | None = None
    is_resumed: bool = False
    version: str | None = None
    alpn: str | None = None
    certificate: object = None
    error: str = ""


class TLSPeer:
    """One accepted connection after its handshake. ended: "clean", "cut", or "" while it is open.

    One thread reads, tests end it from another. OpenSSL takes only one of them at a time: hence the lock, and waiting
    for bytes without it.
    """

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.socket = sock
        self._lock = threading.Lock()
        self.buffer = bytearray()
        self.ended = ""

    def fill(self) -> str:
        """As the kit's readers want it: "" if bytes came, else "fin" or "rst"."""
        try:
            if not self.socket.pending():
                select.select([self.socket], [], [])
            with self._lock:
                if self.socket.fileno() < 0:
                    return "rst"
                data = self.socket.recv(65536)
        except (ssl.SSLError, OSError, ValueError):
            self.ended = "cut"
            return "rst"
        self.buffer += data
        if data:
            return ""
        self.ended = "clean"
        return "fin"

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def say_goodbye(self) -> None:
        """close_notify, without waiting for the other one."""
        with self._lock:
            try:
                self.socket.settimeout(0)
                self.socket.unwrap()
            except (ssl.SSLError, OSError):
                pass

    def close(self) -> None:
        """Close, whatever was said before."""
        with self._lock:
            self.socket.close()

    def cut(self) -> None:
        """Close without close_notify."""
        raw = self._detach()
        try:
            raw.shutdown(socket.SHUT_RDWR)  # closing alone would wait for the thread that reads
        except OSError:
            pass
        raw.close()

    def reset(self) -> None:
        """Close without close_notify and with RST."""
        raw = self._detach()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()

    def _detach(self) -> socket.socket:
        with self._lock:
            return socket.socket(fileno=self.socket.detach())


class TLSBackend:
    """A TLS server on loopback, a thread per connection; answers 200 "ok" until told otherwise.

    on_raw     if set, gets each accepted socket instead of TLS
    on_socket  what is done to each of them first
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        on_socket: Callable[[socket.socket], object] = lambda _: None,
    ) -> None:
        self._on_socket = on_socket
        self.context = context or server_context("localhost", "127.0.0.1")
        self.on_request: OnRequest | None = None
        self.on_raw: Callable[[socket.socket], object] | None = None
        self.requests: list[Request] = []
        self.handshakes: list[Handshake] = []
        self.peers: list[TLSPeer] = []
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"https://localhost:{self.port}"
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self._accepter.join(5)
        self.close_connections()

    def close_connections(self) -> None:
        for peer in self.peers:
            try:
                peer.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait(self, holds: Callable[[], object], timeout: float = PATIENCE) -> None:
        """Wait until something that handshakes, requests and ends can bring about is so."""
        with self._changed:
            assert self._changed.wait_for(holds, timeout), (self.handshakes, self.requests)

    def _note(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._on_socket(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        if self.on_raw is not None:
            with sock:
                self.on_raw(sock)
            return
        seen = Handshake()
        self.context.sni_callback = lambda connection, name, context: setattr(connection, "asked_for", name)
        try:
            wrapped = self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
        except (ssl.SSLError, OSError) as error:
            seen.error = str(error)
            self.handshakes.append(seen)
            self._note()
            sock.close()
            return
        seen.sni = getattr(wrapped, "asked_for", None)
        seen.is_resumed, seen.version = bool(wrapped.session_reused), wrapped.version()
        seen.alpn, seen.certificate = wrapped.selected_alpn_protocol(), wrapped.getpeercert()
        peer = TLSPeer(wrapped)
        self.peers.append(peer)
        self.handshakes.append(seen)
        self._note()
        try:
            self._answer(peer)
        except (BadMessage, Truncated, ssl.SSLError, OSError):
            pass
        finally:
            self._note()
            peer.close()

    def _answer(self, peer: TLSPeer) -> None:
        while True:
            asked = parse_request_head(read_head(peer))
            if b"early" not in asked.target:
                read_body(peer, asked)
            self.requests.append(asked)
            self._note()
            answer = response(200, body=b"ok") if self.on_request is None else self.on_request(asked, peer)
            if answer is not None:
                peer.send(answer)
            if peer.socket.fileno() < 0:
                return
