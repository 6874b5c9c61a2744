"""A file, stdout or stderr that takes lines and never makes its writer wait.

A log must not stop the proxy. A regular file is written at once. Anything else (pipe, terminal, socket,
device) may have a reader that does not keep up, and a plain write would then block the event loop and every
exchange with it; so it is asked first whether it can take more, and gets at most PIPE_BUF bytes per
question: that much a pipe that says yes takes without waiting (POSIX). Others may write to it as well; see
`turn` for how their lines don't mix with ours.

What could not be written is kept, in order and up to a limit, and goes out first next time; after a disk
was full the log goes on at the very byte where it broke off.

A regular file may be rotated: no line is cut in two, and none is written past the size but one that is longer.
"""

from __future__ import annotations

import math
import os
import select
import stat
import sys
import time

from posthouse.observe.rotation import Rotator
from posthouse.observe.turn import Turn

KEPT = 1 << 20
"""Bytes kept while the output takes nothing: some 5,000 lines. Past it, batches are dropped and counted."""
_PIECE = select.PIPE_BUF
_OWN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""O_NONBLOCK: opening a FIFO that nobody reads fails instead of waiting for ever; regular files ignore it."""
_MODE = 0o644
_PATIENCE = 1.0
_PAUSE = 0.01
"""Seconds between two looks whether others are through with their line, at the end only."""
_SLOW = "the reader does not keep up"
_CLOSED = "closed"


class Output:
    """Where lines go. `name` is a path, "stdout" or "stderr" (a file of that name is "./stdout").

    problem  why the last `send` kept something back: one short phrase, "" when all is well (or just not our turn)
    lost     lines dropped since `lost` was last set to 0 (by whoever reports it)
    rotator  says when a file is full, and puts it aside; None: it grows for ever

    Opening raises OSError.
    """

    __slots__ = (
        "_fd",
        "_is_file",
        "_is_given",
        "_is_sending",
        "_is_torn",
        "_kept",
        "_late",
        "_looked_at",
        "_poll",
        "_turn",
        "_written",
        "lost",
        "name",
        "problem",
        "rotator",
    )

    _fd: int
    """-1 once closed."""
    _is_file: bool
    _poll: select.poll
    _turn: Turn
    _written: int
    """The size of the file, but for what others do to it."""

    def __init__(self, name: str, descriptor: int = -1) -> None:
        """descriptor: one that is open already, and is another's to reopen; -1 = open the name."""
        self.name = name
        self._is_given = descriptor >= 0
        self.problem = ""
        self.lost = 0
        self._kept = b""
        self._late: list[bytes] = []
        self._looked_at = 0
        self._is_sending = False
        self._is_torn = False
        self.rotator: Rotator | None = None
        self._use(descriptor if self._is_given else _open(name))

    def __repr__(self) -> str:
        return f"<Output {self.name} kept={len(self._kept)} lost={self.lost} {self.problem or 'ok'}>"

    @property
    def is_behind(self) -> bool:
        """Whether lines are kept back, waiting for the next `send`."""
        return bool(self._kept)

    def fileno(self) -> int:
        """The descriptor that is written to; -1 once closed."""
        return self._fd

    def send(self, lines: bytes) -> bool:
        """Write what was kept, then `lines` (whole lines); True when everything is out. Never raises OSError.

        A signal handler may call this while it runs: those lines go out after the ones under way.
        """
        if self._is_sending:
            self._late.append(lines)
            return False
        self._is_sending = True
        try:
            is_out = self._send(lines)
            while self._late:
                is_out = self._send(self._late.pop(0))
            return is_out
        finally:
            self._is_sending = False

    def _send(self, lines: bytes) -> bool:
        if self._fd < 0:
            self.problem = _CLOSED if lines else ""
            self.lost += lines.count(b"\n")
            return not lines
        if self._kept:
            self._kept = self._catch_up(self._kept)
        if not self._kept:
            self._kept = self._write(lines)
        elif len(self._kept) + len(lines) <= KEPT:
            self._kept += lines
        else:
            self.lost += lines.count(b"\n")
            self.problem = self.problem or _SLOW
        if self._kept:
            return False
        self.problem = ""
        return True

    def _catch_up(self, kept: bytes) -> bytes:
        """Write what was kept; what could not be written. The rest of a line goes where its beginning is."""
        rest = kept.find(b"\n") + 1 if self._is_torn else 0
        sent = self._push(kept[:rest])
        return self._write(kept[sent:]) if sent == rest else kept[sent:]

    def _write(self, lines: bytes) -> bytes:
        """Write, into as many files as it takes; what could not be written."""
        if self.rotator is None or not self._is_file:
            return lines[self._push(lines) :]
        size = self.rotator.rotation.size
        if self.rotator.is_shared:
            self._written = os.fstat(self._fd).st_size
        while self._written + len(lines) > size:
            end = lines.rfind(b"\n", 0, max(0, size - self._written)) + 1
            if not end and self._written:
                if not self._rotate(self.rotator):
                    break
                continue
            end = end or lines.find(b"\n") + 1 or len(lines)
            sent = self._push(lines[:end])
            lines = lines[sent:]
            if sent < end:
                return lines
        return lines[self._push(lines) :]

    def look(self) -> float:
        """Put a file aside that others have filled. How many times as much fits as came since the last look."""
        if self.rotator is None or not self._is_file or self._fd < 0 or self._is_sending or self._kept:
            return math.inf
        size, before = os.fstat(self._fd).st_size, self._looked_at
        self._looked_at = size
        room = self.rotator.rotation.size - size
        if room <= 0:
            self._looked_at = 0
            self._rotate(self.rotator)
            return 0.0
        growth = size - before if size >= before else size  # less: we have begun a new one meanwhile
        return room / growth if growth else math.inf

    def _rotate(self, rotator: Rotator) -> bool:
        """Put the file aside; whether there is room now."""
        size = os.fstat(self._fd).st_size
        if size < self._written:
            self._written = size  # somebody has emptied it (logrotate's copytruncate)
            return True
        fresh = rotator.swap(self.name, self._fd, lambda: _open(self.name))
        if fresh is None:
            return False
        self._take(fresh)
        return True

    def reopen(self) -> None:
        """Open the path anew, after a rename. Raises OSError, and then goes on with the old file."""
        if self._fd < 0 or self._is_given or self.name in _STANDARD:
            return
        fresh = _open(self.name)
        self.send(b"")
        if self._kept and self._is_torn:
            # The first half of this line is in the old file; half a line would spoil the new one.
            self._kept = self._kept.partition(b"\n")[2]
            self.lost += 1
        self._is_torn = False
        self._take(fresh)

    def close(self, patience: float = _PATIENCE) -> None:
        """Send what is kept, waiting up to `patience` seconds for a slow reader; then close. Idempotent."""
        if self._fd < 0:
            return
        deadline = time.monotonic() + patience
        while not self.send(b"") and self.problem in ("", _SLOW):
            left = deadline - time.monotonic()
            if left <= 0 or (self.problem and not self._poll.poll(left * 1000)):
                break
            if not self.problem:
                time.sleep(min(left, _PAUSE))
        self._turn.give_up()
        self.lost += self._kept.count(b"\n")
        self._kept = b""
        if not self._is_given and self.name not in _STANDARD:
            os.close(self._fd)
        self._fd = -1

    def _take(self, fresh: int) -> None:
        old = self._fd
        self._turn.give_up()
        self._use(fresh)
        os.close(old)

    def _use(self, fd: int) -> None:
        self._fd = fd
        status = os.fstat(fd)
        self._is_file = stat.S_ISREG(status.st_mode)
        self._written = status.st_size
        self._turn = Turn(fd)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def _push(self, data: bytes) -> int:
        """Write without waiting; how many bytes went out. If not all: `problem` says why."""
        sent = 0
        if not data:
            return sent
        if not self._turn.begin():
            self.problem = ""
            return sent
        try:
            while sent < len(data):
                piece = data[sent:] if self._is_file else _piece(data, sent)
                if not self._is_file and not self._poll.poll(0):
                    raise BlockingIOError
                sent += os.write(self._fd, piece)
        except BlockingIOError:
            self.problem = _SLOW
        except OSError as error:
            self.problem = error.strerror or str(error)
        finally:
            if sent:
                self._written += sent
                self._is_torn = data[sent - 1] != 10
            self._turn.end(is_torn=self._is_torn)
        return sent


_STANDARD = {"stdout": 1, "stderr": 2}


def _open(name: str) -> int:
    if name not in _STANDARD:
        return os.open(name, _OWN_FLAGS, _MODE)
    # A daemon may be started with these closed; the number then belongs to whatever was opened next,
    # possibly a client's socket, and must not be written to.
    if (sys.__stdout__ if name == "stdout" else sys.__stderr__) is None:
        raise OSError(f"{name} is closed")
    fd = _STANDARD[name]
    os.fstat(fd)
    return fd


def _piece(data: bytes, start: int) -> bytes:
    """At most PIPE_BUF bytes, ending with a line's end where there is one."""
    end = data.rfind(b"\n", start, start + _PIECE) + 1
    return data[start : end or start + _PIECE]
