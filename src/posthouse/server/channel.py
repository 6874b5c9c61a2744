"""Channel: one end of the private socket pair between the supervisor and a worker.

    frame    length (4 bytes) · number of descriptors (2 bytes) · that many bytes
    hello    the first frame of each side: the version, as text
    message  every further frame: a pickle of one of the dataclasses of `control`

Both ends are the same program of the same version (the hello says so, and who gets another one reads nothing further),
and nobody else can reach the socket. Still a pickle can name anything, and a worker may have fewer rights than its
supervisor, which therefore says what it reads (`read_only`). Descriptors travel with the first byte
of their frame (SCM_RIGHTS), so they are there when the frame is whole.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import io
import os
import pickle
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from posthouse import __version__

MOST_DESCRIPTORS: Final = 200
"""In one frame; the kernel takes 253 (SCM_MAX_FD)."""
_READ_BYTES: Final = 256 << 10
_HEADER: Final = struct.Struct("!IH")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(253 * 4)
HELLO: Final = f"posthouse {__version__}".encode()

Hear = Callable[[object, list[int]], None]
"""A message and its descriptors, which belong to whoever hears it."""


class Frames:
    """Bytes and descriptors in, whole frames out; without I/O."""

    __slots__ = ("_bytes", "_descriptors")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> list[tuple[bytes, list[int]]]:
        """The frames that are whole now. Raises IndexError when descriptors are missing."""
        self._bytes += data
        self._descriptors += descriptors
        whole = []
        at = 0
        while len(self._bytes) - at >= _HEADER.size:
            length, count = _HEADER.unpack_from(self._bytes, at)
            end = at + _HEADER.size + length
            if len(self._bytes) < end:
                break
            taken = [self._descriptors.popleft() for _ in range(count)]
            whole.append((bytes(self._bytes[at + _HEADER.size : end]), taken))
            at = end
        del self._bytes[:at]
        return whole

    def close(self) -> None:
        """Nobody will ask for what is left."""
        _close(self._descriptors)
        self._descriptors.clear()


class _Reader(pickle.Unpickler):
    """Reads a pickle that names these classes, by module and name, and nothing else."""

    def __init__(self, data: bytes, classes: Mapping[tuple[str, str], type]) -> None:
        super().__init__(io.BytesIO(data))
        self._classes = classes

    def find_class(self, module: str, name: str) -> type:
        found = self._classes.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a message")
        return found


class Channel:
    """Sends at once what the socket takes and the rest when it can; calls `hear` for each message.

    on_end      called once when the other side is gone, with why: "" or one line (another version)
    is_greeted  whether both have said hello (see `greet`)
    other       the version that the other side is of, if that is not ours
    """

    __slots__ = (
        *("_classes", "_frames", "_hear", "_is_keeping_room", "_is_writing", "_loop", "_on_end", "_out"),
        *("_socket", "_spare"),
        *("is_greeted", "other"),
    )

    def __init__(
        self,
        connection: socket.socket,
        loop: asyncio.AbstractEventLoop,
        hear: Hear,
        on_end: Callable[[str], None],
        *,
        is_greeted: bool = False,
    ) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._loop = loop
        self._hear = hear
        self._on_end = on_end
        self._frames = Frames()
        self._classes: dict[tuple[str, str], type] | None = None
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._is_writing = False
        self._spare: int | None = None
        self._is_keeping_room = False
        self.is_greeted = is_greeted
        self.other = ""
        loop.add_reader(connection.fileno(), self._on_readable)
        if not is_greeted:
            self._put(HELLO, ())

    def __repr__(self) -> str:
        return f"<Channel fd={self._socket.fileno()} waiting={len(self._out)}>"

    @property
    def is_full(self) -> bool:
        """Whether the other side has not read enough for the kernel to take all that was said."""
        return bool(self._out)

    def read_only(self, classes: Sequence[type]) -> None:
        """Messages may be made of these and plain values. To be said before the loop turns, for a side not trusted."""
        self._classes = {(one.__module__, one.__qualname__): one for one in classes}

    def keep_room(self) -> None:
        """Hold a descriptor back for one that may come when the process can open no more."""
        self._is_keeping_room = True
        with contextlib.suppress(OSError):
            self._spare = os.dup(self._socket.fileno())

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send a message of `control`; the descriptors are duplicated now. To a side that is gone: nothing."""
        self._put(pickle.dumps(message, pickle.HIGHEST_PROTOCOL), descriptors)

    def close(self) -> None:
        """The end; what was not sent is lost. Idempotent, and `on_end` is not called."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._stop_writing()
        for _, descriptors in self._out:
            _close(descriptors)
        self._out.clear()
        self._frames.close()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        self._socket.close()

    def _put(self, data: bytes, descriptors: Sequence[int]) -> None:
        if self._socket.fileno() < 0:
            return
        frame = memoryview(_HEADER.pack(len(data), len(descriptors)) + data)
        self._out.append((frame, [os.dup(one) for one in descriptors]))
        if len(self._out) == 1:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                frame, descriptors = self._out[0]
                sent = self._socket.sendmsg([frame], _rights(descriptors))
                _close(descriptors)
                if sent == len(frame):
                    self._out.popleft()
                else:
                    self._out[0] = (frame[sent:], [])
        except (BlockingIOError, InterruptedError):
            if not self._is_writing:
                self._is_writing = True
                self._loop.add_writer(self._socket.fileno(), self._flush)
            return
        except OSError:  # the reader tells that the other side is gone
            for _, left in self._out:
                _close(left)
            self._out.clear()
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._socket.fileno())

    def _on_readable(self) -> None:
        try:
            data, descriptors = self._receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._end("")
            return
        try:
            whole = self._frames.feed(data, descriptors)
        except IndexError:
            self._end("descriptors were lost on the way: this process may open no more")
            return
        self._take(whole)
        if self._is_keeping_room and self._spare is None and self._socket.fileno() >= 0:
            self.keep_room()

    def _receive(self) -> tuple[bytes, list[int]]:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        return _receive(self._socket, _READ_BYTES)

    def _take(self, whole: list[tuple[bytes, list[int]]]) -> None:
        for frame, taken in whole:
            if self._socket.fileno() < 0:  # closed by who heard the one before
                _close(taken)
            elif self.is_greeted:
                self._read(frame, taken)
            elif frame == HELLO:
                self.is_greeted = True
            else:
                self.other = version_of(frame)
                self._end(another_version(frame))

    def _read(self, frame: bytes, descriptors: list[int]) -> None:
        if self._classes is None:
            self._hear(pickle.loads(frame), descriptors)
            return
        try:
            message = _Reader(frame, self._classes).load()
        except Exception as error:  # the bytes may be anything, and so may be what pickle says to them
            _close(descriptors)
            self._end(f"it said what cannot be understood: {error!r}")
        else:
            self._hear(message, descriptors)

    def _end(self, why: str) -> None:
        self.close()
        self._on_end(why)


def greet(connection: socket.socket) -> object:
    """For a worker that has no loop yet: both say hello, and the first message is waited for and returned.

    Raises ValueError with one line for another version, EOFError when nobody is there.
    """
    frames = Frames()
    connection.sendall(_HEADER.pack(len(HELLO), 0) + HELLO)
    first = _read_frame(connection, frames)
    if first != HELLO:
        raise ValueError(another_version(first))
    return pickle.loads(_read_frame(connection, frames))


def another_version(hello: bytes) -> str:
    """One line about a hello that is not ours."""
    theirs = hello[:64].decode("ascii", "replace")
    return f"supervisor and worker are of two versions: {HELLO.decode()}, and {theirs!r} answered"


def version_of(hello: bytes) -> str:
    """The version in a hello, for people."""
    return hello[:64].decode("ascii", "replace").removeprefix("posthouse ")


def _read_frame(connection: socket.socket, frames: Frames) -> bytes:
    """One frame, not a byte of the next one; blocks."""
    header = _read_exactly(connection, _HEADER.size)
    length, _ = _HEADER.unpack(header)
    ((frame, _),) = frames.feed(header + _read_exactly(connection, length))
    return frame


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _receive(connection: socket.socket, most: int) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = connection.recvmsg(most, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, list(descriptors)


def _rights(descriptors: Sequence[int]) -> list[tuple[int, int, array.array[int]]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []


def _close(descriptors: Sequence[int]) -> None:
    for one in descriptors:
        with contextlib.suppress(OSError):
            os.close(one)
