"""The load of the WebSocket row: each connection sends a message, waits for its echo, sends the next; a program.

    python -m benchmarks.chat PORT CONNECTIONS SECONDS SIZE

Bare sockets and epoll, as in echo.py. Prints RESULT and JSON in the form of the wrk script in load.py; a request
is one message with its echo. A connection that breaks counts as failed.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import dataclass

from benchmarks.websocket import KEY, accept, asked, frame

TIMEOUT = 10.0


def join(port: int) -> socket.socket:
    """A connection after its handshake. RuntimeError if the answer is not the 101 that was asked for."""
    opened = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    try:
        _shake_hands(opened, port)
    except BaseException:
        opened.close()
        raise
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.settimeout(None)  # with a timeout, each read and write would ask the kernel twice
    return opened


def _shake_hands(opened: socket.socket, port: int) -> None:
    opened.sendall(asked(port))
    head = b""
    while b"\r\n\r\n" not in head:
        got = opened.recv(4096)
        if not got:
            raise RuntimeError(f"the proxy closed after {head!r}")
        head += got
    # The field that proves who answered. Its name may have been written in other letters on the way.
    if not head.startswith(b"HTTP/1.1 101") or accept(KEY) not in head:
        raise RuntimeError(f"the proxy answered {head[:200]!r}")


def percentile(values: list[int], share: float) -> int:
    """The value that so large a share of the sorted values does not exceed; 0 of none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0


@dataclass(slots=True)
class Talk:
    """One connection: when its message left, and how many bytes of the echo are still to come."""

    socket: socket.socket
    sent: int = 0
    missing: int = 0


class Chat:
    """All connections, in one thread."""

    def __init__(self, sockets: list[socket.socket], size: int) -> None:
        """size: payload bytes of a message."""
        self._message = frame(size, is_masked=True)
        self._echo_size = len(frame(size, is_masked=False))
        self._talks = {opened.fileno(): Talk(opened) for opened in sockets}
        self._epoll = select.epoll()
        self._buffer = bytearray(max(65536, self._echo_size))
        self.waited: list[int] = []
        """Microseconds from each message to its whole echo."""
        self.failed = 0

    def run(self, seconds: float) -> float:
        """Talk for so long; the seconds it took. Ends early when every connection is broken."""
        for fd, talk in list(self._talks.items()):
            self._epoll.register(fd, select.EPOLLIN)
            self._say(talk)
        began = time.monotonic()
        end = began + seconds
        while self._talks and time.monotonic() < end:
            for fd, _ in self._epoll.poll(0.5):
                self._hear(self._talks[fd])
        took = time.monotonic() - began
        for talk in self._talks.values():
            talk.socket.close()
        self._epoll.close()
        return took

    def _say(self, talk: Talk) -> None:
        talk.sent = time.perf_counter_ns()
        talk.missing = self._echo_size
        try:
            talk.socket.sendall(self._message)
        except OSError:
            self._give_up(talk)

    def _hear(self, talk: Talk) -> None:
        try:
            count = talk.socket.recv_into(self._buffer)
        except OSError:
            count = 0
        talk.missing -= count
        if not count or talk.missing < 0:
            self._give_up(talk)
        elif not talk.missing:
            self.waited.append((time.perf_counter_ns() - talk.sent) // 1000)
            self._say(talk)

    def _give_up(self, talk: Talk) -> None:
        self.failed += 1
        del self._talks[talk.socket.fileno()]
        talk.socket.close()


def main() -> None:
    """Join, talk, print."""
    port, connections, seconds, size = (int(word) for word in sys.argv[1:5])
    chat = Chat([join(port) for _ in range(connections)], size)
    took = chat.run(seconds)
    waited = sorted(chat.waited)
    result = {
        "requests": len(waited),
        "seconds": round(took, 6),
        "p50_us": percentile(waited, 0.5),
        "p99_us": percentile(waited, 0.99),
        "failed": chat.failed,
    }
    print(f"RESULT {json.dumps(result)}")


if __name__ == "__main__":
    main()
