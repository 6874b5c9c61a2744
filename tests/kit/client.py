"""RawClient: a client that sends exactly what a test says and reads responses strictly."""

from __future__ import annotations

import socket
import struct
import time
from types import TracebackType
from typing import Self

from kit import http1
from kit.http1 import Fields, Response


class RawClient:
    """One client connection to 127.0.0.1:port (or `address`); every read fails after `timeout` seconds.

    buffer  what has come and was not taken yet
    """

    def __init__(self, port: int, *, timeout: float = 10.0, address: str = "127.0.0.1") -> None:
        self.timeout = timeout
        self.buffer = bytearray()
        self.socket = socket.create_connection((address, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def local_port(self) -> int:
        return int(self.socket.getsockname()[1])

    def send(self, data: bytes) -> None:
        """Send all of it; a peer that has closed already is no error (what it answered can still be read)."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send_pieces(self, data: bytes, size: int = 1, pause: float = 0.0) -> None:
        """Send in pieces of `size` bytes, each a segment of its own (Nagle is off)."""
        for start in range(0, len(data), size):
            self.send(data[start : start + size])
            if pause:
                time.sleep(pause)

    def fill(self) -> str:
        """Read once: "" if bytes came, "fin" or "rst" at the end; TimeoutError after the timeout."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            return "rst"
        self.buffer += data
        return "" if data else "fin"

    def read_head(self) -> Response:
        """The next head, 1xx or final; the body stays in the stream."""
        return http1.parse_response_head(http1.read_head(self))

    def read_response(self, method: str = "GET") -> Response:
        """The next final response with its body; the 1xx before it are in `informational`.

        Raises BadMessage (not normal form), Truncated (ended early), TimeoutError.
        """
        informational = []
        while True:
            answer = self.read_head()
            if answer.status >= 200 or answer.status == 101:
                break
            informational.append(answer)
        answer.informational = informational
        if (
            method == "HEAD"
            or answer.status in (101, 204, 304)
            or (method, answer.status) == ("CONNECT", 200)
        ):
            return answer
        if answer.framing == "none":
            http1.read_to_end(self, answer)
        else:
            http1.read_body(self, answer)
        return answer

    def exchange(self, data: bytes, method: str = "GET") -> Response:
        """Send, then read one response."""
        self.send(data)
        return self.read_response(method)

    def read_until_end(self) -> bytes:
        """Every byte until the connection ends in either way."""
        while not self.fill():
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def end(self, within: float | None = None) -> str:
        """Wait until the peer ends the connection: "fin" or "rst"; "open" if it has not `within` seconds.

        Bytes that come meanwhile stay in `buffer`.
        """
        deadline = time.monotonic() + (self.timeout if within is None else within)
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if how := self.fill():
                    return how
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(self.timeout)
        return "open"

    def is_open(self, within: float = 0.05) -> bool:
        """Has the peer neither ended the connection nor sent more, for a short while?"""
        before = len(self.buffer)
        return self.end(within) == "open" and len(self.buffer) == before

    def finish_sending(self) -> None:
        """Send FIN and keep reading (half-close)."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.socket.close()


def get(
    port: int,
    target: bytes | str = "/",
    fields: Fields = (),
    *,
    host: bytes | str = "site.test",
    method: str = "GET",
) -> Response:
    """One request on a connection of its own."""
    with RawClient(port) as client:
        return client.exchange(http1.request(method, target, fields, host=host), method)
