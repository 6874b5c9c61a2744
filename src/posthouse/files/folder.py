"""Folder: what below a root may be asked for, and how it is opened.

Laws:
1. A path with a segment ".." or "." opens nothing. All others name something below the root, or what a link there
   leads to: links are the doing of whoever fills the folder, and are followed as v1 did.
2. A name that begins with a dot is not there, but `/.well-known`, unless the site asks for dot files.
3. What is opened is looked at afterwards, by its descriptor: nothing can change in between. Only regular files and
   folders are kept, and opening waits for nobody (a FIFO has no writer yet, a device may be slow).
4. Files that the configuration was read from are not there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from typing import Final, Self

from posthouse.protocol.fields import Field
from posthouse.proxy.answer import Answer

NOT_FOUND: Final = Answer(404)
RETRY_SECONDS: Final = 3
"""When descriptors have run out, as in v1."""

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WELL_KNOWN: Final = ".well-known"
"""RFC 8615: made to be asked for."""
_NOT_THERE: Final = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.ENODEV)
)
_FORBIDDEN: Final = frozenset((errno.EACCES, errno.EPERM))
_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN))


class Opened:
    """A regular file or a folder, open. `with` closes it at the end, unless somebody has taken the descriptor."""

    __slots__ = ("fd", "name", "stat")

    def __init__(self, fd: int, name: bytes, status: os.stat_result) -> None:
        self.fd = fd
        self.name = name
        self.stat = status

    def __repr__(self) -> str:
        return f"<Opened {self.name!r} fd={self.fd}>"

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> int:
        """The descriptor; it is the caller's from now on."""
        fd, self.fd = self.fd, -1
        return fd

    def close(self) -> None:
        """Give the descriptor back, unless that was done or somebody took it."""
        if self.fd >= 0:
            os.close(self.take())


class Folder:
    """The root of a site.

    hidden  names of files that are not there, relative to the working directory
    """

    __slots__ = ("_has_dotfiles", "_hidden_files", "_hidden_paths", "_root")

    def __init__(self, root: str, *, has_dotfiles: bool = False, hidden: Iterable[str] = ()) -> None:
        self._root = os.fsencode(os.path.abspath(root)).rstrip(b"/")
        self._has_dotfiles = has_dotfiles
        self._hidden_paths: set[bytes] = set()
        self._hidden_files: set[tuple[int, int]] = set()
        for name in hidden:
            self._hide(name)

    def __repr__(self) -> str:
        return f"<Folder {self._root!r}>"

    def _hide(self, name: str) -> None:
        """By its name, which stays when an editor writes the file anew, and by itself, whatever name leads to it."""
        roots = (self._root, os.path.realpath(self._root or b"/"))
        for path in (os.path.abspath(os.fsencode(name)), os.path.realpath(os.fsencode(name))):
            for root in roots:
                if path.startswith(root + b"/"):
                    self._hidden_paths.add(self._root + path[len(root) :])
        try:
            status = os.stat(name)
        except OSError:
            return
        self._hidden_files.add((status.st_dev, status.st_ino))

    def locate(self, path: str) -> bytes | None:
        """The name in the file system of a decoded path, without a slash at its end; None: that is not there."""
        if "/." in path and self._has_dot_name(path):
            return None
        if "\0" in path or not path.startswith("/"):
            return None
        return self._root + path.rstrip("/").encode("utf-8", "surrogateescape") or b"/"

    def _has_dot_name(self, path: str) -> bool:
        for number, segment in enumerate(path.split("/")):
            if not segment.startswith("."):
                continue
            if segment in (".", ".."):
                return True
            if not self._has_dotfiles and not (number == 1 and segment == _WELL_KNOWN):
                return True
        return False

    def is_shown(self, name: bytes, status: os.stat_result) -> bool:
        """Whether a listing names this entry: `name` in the file system, and what it is (links followed)."""
        if not self._has_dotfiles and name[name.rfind(b"/") + 1 :].startswith(b"."):
            return False
        return self._is_servable(name, status)

    def _is_servable(self, name: bytes, status: os.stat_result) -> bool:
        if stat.S_ISDIR(status.st_mode):
            return True
        if not stat.S_ISREG(status.st_mode) or name in self._hidden_paths:
            return False
        return (status.st_dev, status.st_ino) not in self._hidden_files

    def open(self, path: str) -> Opened | Answer:
        """A file or folder by its decoded path, in normal form; or the answer that says why not."""
        name = self.locate(path)
        if name is None:
            return NOT_FOUND
        try:
            fd = os.open(name, _FLAGS)
        except OSError as error:
            return refusal(error)
        try:
            opened = Opened(fd, name, os.fstat(fd))
        except OSError as error:
            os.close(fd)
            return refusal(error)
        if not self._is_servable(name, opened.stat):
            os.close(fd)
            return NOT_FOUND
        return opened

    def exists(self, path: str) -> bool:
        """Whether a regular file is there, or a folder if the path ends with a slash."""
        name = self.locate(path)
        if name is None:
            return False
        try:
            status = os.stat(name)
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) == path.endswith("/") and self._is_servable(name, status)


def refusal(error: OSError) -> Answer:
    """What the client is told when a file cannot be opened. The cause names no path: `errors visible` may show it."""
    if error.errno in _NOT_THERE:
        return NOT_FOUND
    cause = f"the file cannot be opened: {error.strerror}"
    if error.errno in _FORBIDDEN:
        return Answer(403, cause=cause)
    if error.errno in _EXHAUSTED:
        return Answer(503, (Field(b"Retry-After", b"%d" % RETRY_SECONDS),), cause=cause)
    return Answer(500, cause=cause)
