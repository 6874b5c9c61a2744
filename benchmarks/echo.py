"""The upstream of the WebSocket row: answers every message with one of the same size; run as a program.

    python -m benchmarks.echo PORT SIZE

Bare sockets and epoll, because it shares a core with the load: it may not be what the proxies wait for. It counts
bytes instead of reading frames; every message has the same size.
"""

from __future__ import annotations

import select
import socket
import sys

from benchmarks.websocket import frame, granted

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\necho\n"
READ_BYTES = 65536


class Peer:
    """One connection: its handshake, then how many bytes of an unfinished message are there."""

    __slots__ = ("head", "is_upgraded", "pending", "socket")

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.head = b""
        self.is_upgraded = False
        self.pending = 0


class Echo:
    """All connections, in one thread."""

    def __init__(self, listener: socket.socket, size: int) -> None:
        """size: payload bytes of a message."""
        self._listener = listener
        self._size = len(frame(size, is_masked=True))
        self._answer = frame(size, is_masked=False)
        self._peers: dict[int, Peer] = {}
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._buffer = bytearray(READ_BYTES)

    def run(self) -> None:
        """Until the process is ended."""
        while True:
            self.turn(None)

    def turn(self, timeout: float | None) -> None:
        """What one wait shows."""
        for fd, _ in self._epoll.poll(timeout):
            peer = self._peers.get(fd)
            if peer is None:
                self._accept()
                continue
            try:
                self._read(peer)
            except OSError:
                self._close(peer)

    def _accept(self) -> None:
        opened, _ = self._listener.accept()
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers[opened.fileno()] = Peer(opened)
        self._epoll.register(opened.fileno(), select.EPOLLIN)

    def _read(self, peer: Peer) -> None:
        count = peer.socket.recv_into(self._buffer)
        if not count:
            self._close(peer)
        elif peer.is_upgraded:
            whole, peer.pending = divmod(peer.pending + count, self._size)
            if whole:
                peer.socket.sendall(self._answer * whole)
        else:
            self._greet(peer, bytes(self._buffer[:count]))

    def _greet(self, peer: Peer, data: bytes) -> None:
        peer.head += data
        if not peer.head.endswith(b"\r\n\r\n"):
            return
        answer = granted(peer.head)
        peer.socket.sendall(answer or PLAIN)
        if answer is None:
            self._close(peer)
        peer.is_upgraded = True

    def _close(self, peer: Peer) -> None:
        del self._peers[peer.socket.fileno()]
        peer.socket.close()

    def close(self) -> None:
        """Close them all."""
        for peer in list(self._peers.values()):
            self._close(peer)
        self._epoll.close()


def main() -> None:
    """Listen on the loopback port."""
    port, size = int(sys.argv[1]), int(sys.argv[2])
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        Echo(listener, size).run()


if __name__ == "__main__":
    main()
