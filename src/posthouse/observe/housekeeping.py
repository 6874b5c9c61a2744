"""Housekeeping: files put aside by rotation are compressed and deleted, in a thread of its own.

One thread for all files, and only while there is something to do: compressing 100 MB takes seconds of CPU, which
no request may wait for (zlib and the disk work without Python's lock).

A crash leaves at most an unfinished `.gz.part`, or a file beside its finished `.gz`; both are done again. So it
may be cut short at any time, and a stop does that.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import threading
import time
import zlib
from collections.abc import Callable

from posthouse.observe.rotation import COMPRESSED, UNFINISHED, Rotation, judge

_CHUNK = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_PATIENCE = 1.0

Trouble = Callable[[str, str], None]
"""(path, reason): told of what could not be done; called in the thread."""


class Housekeeper:
    """Tidies up after rotation. `ask` never waits."""

    def __init__(self, on_trouble: Trouble, *, wall: Callable[[], float] = time.time) -> None:
        self._on_trouble = on_trouble
        self._wall = wall
        self._asked: dict[str, Rotation] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Housekeeper asked={len(self._asked)} {'working' if self._thread else 'idle'}>"

    def ask(self, path: str, rotation: Rotation) -> None:
        """See to the files that were put aside from `path`, soon."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._asked[path] = rotation
            if self._thread is None:
                # A daemon: a stop does not wait for a compression, see above.
                self._thread = threading.Thread(target=self._work, name="housekeeping", daemon=True)
                self._thread.start()

    def stop(self, patience: float = _PATIENCE) -> None:
        """No more work is begun; what runs is cut short, which is waited for so many seconds. Idempotent."""
        with self._lock:
            self._stopping.set()
            self._asked.clear()
            thread = self._thread
        if thread is not None:
            thread.join(patience)

    def wait(self, patience: float) -> bool:
        """Wait until there is nothing left to do; whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(patience)
        return self._thread is None

    def _work(self) -> None:
        while True:
            with self._lock:
                asked, self._asked = self._asked, {}
                if not asked:
                    self._thread = None
                    return
            folders: dict[str, list[str]] = {}
            for path, rotation in asked.items():
                try:
                    self._tidy(path, rotation, folders)
                except Exception as error:  # the thread must not end for one file
                    self._on_trouble(path, _reason(error))

    def _tidy(self, path: str, rotation: Rotation, folders: dict[str, list[str]]) -> None:
        """folders: sorted names by folder. With a thousand logs in one, looking at all names for each takes seconds."""
        folder, name = os.path.split(path)
        names = folders.get(folder)
        if names is None:
            names = folders[folder] = sorted(os.listdir(folder or "."))
        prefix = os.path.splitext(name)[0] + "-"
        first = bisect.bisect_left(names, prefix)
        last = bisect.bisect_left(names, prefix + "A", first)  # behind the dash there is a year
        tidying = judge(path, names[first:last], rotation, self._wall())
        for one in tidying.remove:
            self._do(os.unlink, os.path.join(folder, one))
        for one in tidying.compress:
            self._do(self._compress, os.path.join(folder, one))

    def _do(self, act: Callable[[str], None], path: str) -> None:
        if self._stopping.is_set():
            return
        try:
            act(path)
        except FileNotFoundError:
            pass  # somebody else has tidied up
        except OSError as error:
            self._on_trouble(path, _reason(error))

    def _compress(self, path: str) -> None:
        unfinished = path + UNFINISHED
        try:
            if self._pack(path, unfinished):
                os.rename(unfinished, path + COMPRESSED)
                os.unlink(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)

    def _pack(self, path: str, unfinished: str) -> bool:
        """Write the compressed form; whether it is whole."""
        packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        with open(path, "rb") as plain:
            was = os.fstat(plain.fileno())
            # O_EXCL: what stands there was not made by us in this run, and may be a link to anywhere.
            with open(unfinished, "xb") as packed:
                os.fchmod(packed.fileno(), was.st_mode & 0o777)
                while data := plain.read(_CHUNK):
                    if self._stopping.is_set():
                        return False
                    packed.write(packer.compress(data))
                packed.write(packer.flush())
                packed.flush()
                os.fsync(packed.fileno())
        os.utime(unfinished, (was.st_atime, was.st_mtime))
        return True


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or repr(error)
