"""The file of the admin socket: where it is, that it is ours alone, and that nobody's is taken away.

Laws:
1. Who may connect is decided by the file system: the socket has mode 0600; the default folder is ours, with 0700.
2. A socket on which somebody listens is never replaced; one that a dead process left behind is.
3. At the end only what was made here is removed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from posthouse.admin.api import ENDPOINTS
from posthouse.errors import StartError

FOLDER: Final = "posthouse"
ID_DIGITS: Final = 8
BACKLOG: Final = 16
_LOCK_TRIES: Final = 50
_LOCK_PAUSE: Final = 0.02
"""Who else holds the lock is starting at the same time, which takes milliseconds."""
_ASK_SECONDS: Final = 1.0
_CREDENTIALS: Final = struct.Struct("3i")


def default_path(config: str, runtime: str) -> str:
    """The socket of whoever serves the file `config`. runtime: $XDG_RUNTIME_DIR, or "" for /run."""
    digest = hashlib.sha256(os.path.abspath(config).encode("utf-8", "surrogateescape")).hexdigest()
    return os.path.join(runtime or "/run", FOLDER, f"{digest[:ID_DIGITS]}.sock")


class SocketFile:
    """One such file, from `claim` to `remove`.

    is_default  its folder is made, and must be ours alone
    is_wanted   see `server.Place`: the user has named it
    """

    paths = tuple(ENDPOINTS)

    def __init__(self, path: str, *, is_default: bool) -> None:
        self.path = path
        self._is_default = is_default
        self.is_wanted = not is_default
        self._made: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<SocketFile {self.path} {'ours' if self._made else 'not ours'}>"

    def claim(self) -> socket.socket:
        """A socket that listens there. Raises StartError, one line that names the path."""
        try:
            folder = os.path.dirname(self.path) or "."
            self._prepare(folder)
            with _locked(folder):
                self._clear_away()
                return self._bind()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(f"cannot make the admin socket {self.path}: {reason}") from None

    @property
    def listening(self) -> None:
        """A file belongs to who made it."""
        return None

    def give_up(self) -> None:
        """See `server.Place`."""
        self.remove()

    def remove(self) -> None:
        """Remove the file, if it is still the one that was made here."""
        made, self._made = self._made, None
        try:
            if made is not None and made == _identity(os.lstat(self.path)):
                os.unlink(self.path)
        except OSError:
            return

    def _prepare(self, folder: str) -> None:
        if not self._is_default:
            os.makedirs(folder, 0o700, exist_ok=True)
            return
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            found = os.lstat(folder)
            if not stat.S_ISDIR(found.st_mode):
                raise StartError(f"cannot make the admin socket: {folder} is not a folder") from None
            if found.st_uid != os.geteuid():
                raise StartError(f"cannot make the admin socket: {folder} belongs to another user") from None
        # What was there may have been made with a wider mode, and the umask may have narrowed ours.
        os.chmod(folder, 0o700)

    def _clear_away(self) -> None:
        """Remove what a dead process left. Raises StartError if it is alive, or no socket."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise StartError(f"cannot make the admin socket: {self.path} is there and is no socket")
        owner = _who_listens(self.path)
        if owner is not None:
            by = f"process {owner}" if owner else "another process"
            raise StartError(
                f"the admin socket {self.path} is in use by {by} (--admin PATH or off gives this one another or none)"
            )
        os.unlink(self.path)

    def _bind(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            before = os.umask(0o177)  # from the first moment on nobody else can connect
            try:
                listening.bind(self.path)
            finally:
                os.umask(before)
            self._made = _identity(os.lstat(self.path))
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            self.remove()
            raise
        return listening


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _who_listens(path: str) -> int | None:
    """The process id of who listens on a socket, 0 if it can't be told; None: nobody does. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_ASK_SECONDS)
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            return None
        except (BlockingIOError, TimeoutError):  # its queue is full: it is there
            return 0
        if not hasattr(socket, "SO_PEERCRED"):
            return 0
        peer = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(peer)[0])


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Between looking who listens and binding, no other Posthouse does the same there. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for left in reversed(range(_LOCK_TRIES)):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK or not left:
                    raise
                time.sleep(_LOCK_PAUSE)
        yield
    finally:
        os.close(handle)
