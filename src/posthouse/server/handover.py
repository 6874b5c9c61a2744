"""Handover: what a supervisor and the one that takes its place say to each other, over a socket pair.

The two may be of different versions, which is the point, so this is the one format that must not change but by
additions. Who hears a word, or a key, that it does not know ignores it.

    frame    length (4 bytes) · number of descriptors (2 bytes) · that many bytes
    message  JSON, an object with "say"; descriptors travel with the first byte of their frame

    predecessor  offer     version, pid, orders: [row, …] (see `order_rows`), beliefs: [row, …] (see `beliefs`)
                 sockets   sockets: [[host, port, count, is_given], …], whose descriptors come along in this order
                 admin     addresses: [[host, port], …], where it answers on TCP, whose descriptors come along
                 begin     that was all
    successor    serving   version, pid: its workers serve; or
                 failed    reason: one line, shown: [text, …], each mistake as a person is told of it
    predecessor  released  the insignia (admin socket, pid file) are free; orders: as they are now
    successor    settled   it has them: the predecessor may go

The predecessor serves until it hears `settled`. If the line ends before, it stays; a successor that serves and is not
told anything more goes on without it.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from posthouse.server.channel import Frames

VARIABLE: Final = "POSTHOUSE_HANDOVER"
"""In the environment of a successor: the descriptor of its end."""
MOST_DESCRIPTORS: Final = 200
"""In one frame; the kernel takes 253 (SCM_MAX_FD)."""
_HEADER: Final = struct.Struct("!IH")
_READ_BYTES: Final = 64 << 10
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(253 * 4)


class Said(NamedTuple):
    """One message; its descriptors belong to whoever hears it."""

    what: str
    about: dict[str, Any]
    descriptors: list[int]


class Handover:
    """One end of the line."""

    __slots__ = ("_frames", "_heard", "_socket")

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._frames = Frames()
        self._heard: deque[tuple[bytes, list[int]]] = deque()

    def __repr__(self) -> str:
        return f"<Handover fd={self._socket.fileno()}>"

    async def say(self, what: str, descriptors: Sequence[int] = (), **about: object) -> None:
        """Send a message. Raises OSError when nobody is there."""
        left = memoryview(_frame(what, descriptors, about))
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        )
        while left:
            try:
                left = left[self._socket.sendmsg([left], rights) :]
                rights = []
            except (BlockingIOError, InterruptedError):
                loop = asyncio.get_running_loop()
                await self._turn(loop.add_writer, loop.remove_writer)

    def say_last(self, what: str, **about: object) -> None:
        """Send a short message without a loop, and close. To nobody: nothing."""
        try:
            self._socket.sendall(_frame(what, (), about))
        except OSError:
            pass
        self.close()

    async def hear(self) -> Said:
        """The next message. Raises EOFError when there will be none, ValueError when it is no message."""
        while not self._heard:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(
                    _READ_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, InterruptedError):
                loop = asyncio.get_running_loop()
                await self._turn(loop.add_reader, loop.remove_reader)
                continue
            except OSError:
                raise EOFError from None
            if not data:
                raise EOFError
            descriptors = array.array("i")
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
            try:
                self._heard += self._frames.feed(data, descriptors)
            except IndexError:
                raise ValueError("descriptors were lost on the way: this process may open no more") from None
        frame, taken = self._heard.popleft()
        about = json.loads(frame)
        if not isinstance(about, dict):
            raise ValueError("it said what cannot be understood")
        return Said(str(about.pop("say", "")), about, taken)

    async def expect(self, *words: str) -> Said:
        """The next message that says one of these; others are ignored. Raises as `hear`."""
        while True:
            said = await self.hear()
            if said.what in words:
                return said
            for one in said.descriptors:
                os.close(one)

    def close(self) -> None:
        """The end. Idempotent."""
        self._frames.close()
        self._socket.close()

    async def _turn(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        """Wait until the socket can be read from, or written to."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        descriptor = self._socket.fileno()

        def come() -> None:
            if not turn.done():
                turn.set_result(None)

        add(descriptor, come)
        try:
            await turn
        finally:
            remove(descriptor)


def _frame(what: str, descriptors: Sequence[int], about: dict[str, object]) -> bytes:
    data = json.dumps({"say": what, **about}).encode("ascii")
    return _HEADER.pack(len(data), len(descriptors)) + data
