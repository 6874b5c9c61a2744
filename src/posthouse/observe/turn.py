"""Whose turn it is to write to a pipe that several processes share: a line is written whole, whatever its length.

A pipe takes PIPE_BUF bytes in one piece (POSIX); a longer line goes out in several, between which others would write.
And of two who both saw room for one more piece, the second would wait for the reader. So whoever writes holds a lock on
the pipe, and whoever has written half a line holds another one until its rest is out: `fcntl` locks belong to the
process, exclude those of others on anything that can be open in both, and end with their process, however it ends.

Within a process they exclude nobody; there `_writers` says whose turn it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

_WRITING, _TORN = 0, 1
"""The bytes that are locked; they need not exist."""
_TRIES = 50
_PAUSE = 0.0002
"""Seconds between the tries: others write for some 10 us, and then it is our turn. Only one that was stopped in the
middle of it takes longer than all of them."""
_BUSY = (errno.EAGAIN, errno.EACCES)

_writers: dict[tuple[int, int], Turn] = {}
"""Who in this process writes to a pipe, or has half a line in it, by device and inode."""


class Turn:
    """The right of one writer to one descriptor. Files need none: each write is appended whole."""

    __slots__ = ("_fd", "_place", "has_lock")

    def __init__(self, fd: int) -> None:
        status = os.fstat(fd)
        self._fd = fd
        self._place = (status.st_dev, status.st_ino)
        # Not devices: /dev/null is one and the same for all programs of a machine.
        mode = status.st_mode
        self.has_lock = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)

    def __repr__(self) -> str:
        return f"<Turn {self._place} has_lock={self.has_lock}>"

    def begin(self) -> bool:
        """Whether we may write now; if so, `end` is to be called. Waits no longer than others need for a piece."""
        if not self.has_lock:
            return True
        if _writers.get(self._place, self) is not self or not self._lock(_WRITING, _TRIES):
            return False
        if not self._lock(_TORN, 1):
            self._unlock(_WRITING)
            return False
        _writers[self._place] = self
        return True

    def end(self, *, is_torn: bool) -> None:
        """The next one may write; if half a line is out, only when we have written the rest."""
        if not self.has_lock:
            return
        if not is_torn:
            self._unlock(_TORN)
            _writers.pop(self._place, None)
        self._unlock(_WRITING)

    def give_up(self) -> None:
        """We shall not write the rest."""
        if self.has_lock and _writers.get(self._place) is self:
            self.end(is_torn=False)

    def _lock(self, byte: int, tries: int) -> bool:
        for left in range(tries - 1, -1, -1):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError as error:
                if error.errno not in _BUSY:
                    return True  # no locks here: the lines may mix, but they are written
                if left:
                    time.sleep(_PAUSE)
            else:
                return True
        return False

    def _unlock(self, byte: int) -> None:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, byte)
        except OSError:
            self.has_lock = False
