"""A syslog daemon that takes lines and never makes its writer wait; it has the face of an `output.Output`.

Towards the local daemon (/dev/log) a message has the form of RFC 3164 without a host: what the C library writes,
and the only one that journald reads. Over the network it has that of RFC 5424, which alone has the year, the
zone, milliseconds, and no limit of 1024 bytes. Over TCP a message ends with a line feed (RFC 6587 3.4.2): every
daemon reads that, and our lines hold none.

Everything is a step of one small machine, taken whenever somebody sends: no socket, connecting, connected. What
cannot be sent is kept up to KEPT bytes; after a failure the next try comes after a growing pause.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from posthouse.observe.output import KEPT
from posthouse.observe.timestamps import MILLISECONDS, Seconds, iso_utc, syslog_time

LOCAL_SOCKET: Final = "/dev/log"
LONGEST_MESSAGE: Final = 8 * 1024
"""Bytes of a message, head included: rsyslog and syslog-ng cut at 8 KiB by default, some of them without a trace."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries to connect; doubled each time."""
CONNECT_SECONDS: Final = 10.0
_TURN_BYTES: Final = 128 * 1024
"""Sent in one turn at most: after an outage, thousands of datagrams at once would hold up the loop."""
_CUT = b"..."
_LOCAL0 = 16
_PRIORITIES = {"info": _LOCAL0 * 8 + 6, "error": _LOCAL0 * 8 + 3}
"""v1 used local0 as well (and severity "error" for everything)."""
_SLOW = "the receiver does not keep up"

_utc_seconds = Seconds(iso_utc)
_local_seconds = Seconds(syslog_time)

Transport = Literal["unix", "udp", "tcp"]
_Address = tuple[int, int, int, Any]
"""Family, type, protocol, and what connect() takes."""


class Daemon(NamedTuple):
    """Where a syslog daemon listens. For "unix" `host` is the path of its socket."""

    transport: Transport = "unix"
    host: str = LOCAL_SOCKET
    port: int = 0


class SyslogOutput:
    """Lines to a syslog daemon.

    name      as it was given in the configuration
    severity  "info" or "error"
    problem   why the last `send` kept something back: one short phrase; "" also while a first try is under way
    lost      lines dropped since `lost` was last set to 0 (by whoever reports it)
    """

    def __init__(
        self,
        name: str,
        daemon: Daemon,
        severity: Literal["info", "error"] = "info",
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.problem = ""
        self.lost = 0
        self._daemon = daemon
        self._priority = _PRIORITIES[severity]
        self._topic = "error" if severity == "error" else "access"
        self._clock = clock
        self._wall = wall
        self._host = os.uname().nodename.encode("ascii", "replace").decode("ascii") or "-"
        self._kept = b""
        self._is_torn = False
        self._socket: socket.socket | None = None
        self._is_connected = False
        self._deadline = 0.0
        self._retry_at = 0.0
        self._pause = FIRST_PAUSE
        self._lookup = _Lookup(daemon) if daemon.transport != "unix" else None
        self._tries = 0
        self._is_closed = False

    def __repr__(self) -> str:
        state = "connected" if self._is_connected else "apart"
        return f"<SyslogOutput {self.name} {state} kept={len(self._kept)} lost={self.lost}>"

    @property
    def is_behind(self) -> bool:
        """Whether messages are kept back, waiting for the next `send`."""
        return bool(self._kept)

    def send(self, lines: bytes) -> bool:
        """Send what was kept, then `lines` (whole lines); True when everything is out."""
        if self._is_closed:
            self.problem = "closed" if lines else ""
            self.lost += lines.count(b"\n")
            return not lines
        if len(self._kept) + len(lines) <= KEPT:
            self._kept += self._messages(lines)
        else:
            self.lost += lines.count(b"\n")
        if not self._kept:
            self.problem = ""
            return True
        if self._can_send():
            self._push(self._socket)
        return not self._kept

    def reopen(self) -> None:
        """There is no file to open anew."""

    def close(self, patience: float = 1.0) -> None:
        """Send what is kept, waiting up to `patience` seconds for the daemon; then close. Idempotent."""
        if self._is_closed:
            return
        deadline = time.monotonic() + patience
        if self._socket is None:
            self._retry_at = 0.0
        while not self.send(b""):
            left = deadline - time.monotonic()
            if left <= 0 or not self._wait(left):
                break
        self.lost += self._kept.count(b"\n")
        self._kept = b""
        self._is_closed = True
        self._drop()

    # -- the machine ---------------------------------------------------------------------------------------------

    def _can_send(self) -> bool:
        """One step towards a connection; whether there is one."""
        if self._socket is None:
            if self._clock() < self._retry_at:
                return False
            address = self._find()
            if address is None:
                return False
            self._open(address)
        if self._socket is not None and not self._is_connected:
            self._finish_connecting(self._socket)
        if self._is_connected and self._socket is not None and self._daemon.transport == "tcp":
            self._look_for_end(self._socket)
        return self._is_connected

    def _find(self) -> _Address | None:
        daemon = self._daemon
        if daemon.transport == "unix":
            return socket.AF_UNIX, socket.SOCK_DGRAM, 0, daemon.host
        if self._lookup is None:
            self._lookup = _Lookup(daemon)
        if not self._lookup.is_done:
            return None
        lookup, self._lookup = self._lookup, None
        if not lookup.addresses:
            self._fail(lookup.problem)
            return None
        self._tries += 1
        return lookup.addresses[self._tries % len(lookup.addresses)]

    def _open(self, address: _Address) -> None:
        family, kind, protocol, where = address
        try:
            opened = socket.socket(family, kind, protocol)
        except OSError as error:
            self._fail(_reason(error))
            return
        opened.setblocking(False)
        self._socket = opened
        self._deadline = self._clock() + CONNECT_SECONDS
        code = opened.connect_ex(where)
        if code == 0:
            self._is_connected = True
        elif code != errno.EINPROGRESS:
            self._fail(os.strerror(code))

    def _finish_connecting(self, opened: socket.socket) -> None:
        if not _is_ready(opened):
            if self._clock() >= self._deadline:
                self._fail("no connection in time")
            return
        code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(os.strerror(code))
        else:
            self._is_connected = True

    def _look_for_end(self, opened: socket.socket) -> None:
        """A daemon that was restarted has closed: what is sent now the kernel would take, and lose."""
        try:
            if not opened.recv(4096):
                self._fail("closed by the receiver")
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(_reason(error))

    def _push(self, opened: socket.socket | None) -> None:
        assert opened is not None
        sent = 0
        end = min(len(self._kept), _TURN_BYTES)
        try:
            while sent < end:
                if self._daemon.transport == "tcp":
                    sent += opened.send(self._kept[sent:end])
                else:
                    at = self._kept.index(b"\n", sent)
                    opened.send(self._kept[sent:at])
                    sent = at + 1
        except BlockingIOError:
            self.problem = _SLOW
        except OSError as error:
            if self._daemon.transport == "udp":
                self.lost += (
                    1  # a datagram that nobody took: told of by the next one, which itself was not sent
                )
            self._take_off(sent)
            self._fail(_reason(error))
            return
        else:
            self.problem = ""
        self._take_off(sent)

    def _take_off(self, sent: int) -> None:
        if sent:
            self._pause = FIRST_PAUSE
            self._is_torn = self._kept[sent - 1] != 10
            self._kept = self._kept[sent:]

    def _fail(self, reason: str) -> None:
        self.problem = reason
        self._drop()
        if self._is_torn:
            # The first half of this message went to a connection that is gone.
            self._kept = self._kept.partition(b"\n")[2]
            self._is_torn = False
            self.lost += 1
        self._retry_at = self._clock() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _drop(self) -> None:
        self._is_connected = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _wait(self, seconds: float) -> bool:
        """Wait for the next step; False: there is none to wait for."""
        if self._lookup is not None:
            return self._lookup.wait(seconds)
        return self._socket is not None and _is_ready(self._socket, seconds)

    # -- messages ------------------------------------------------------------------------------------------------

    def _messages(self, lines: bytes) -> bytes:
        head = self._head()
        messages = []
        for line in lines.split(b"\n")[:-1]:
            message = head + line
            if len(message) > LONGEST_MESSAGE:
                message = message[: LONGEST_MESSAGE - len(_CUT)] + _CUT
            messages.append(message + b"\n")
        return b"".join(messages)

    def _head(self) -> bytes:
        second, ms = divmod(int(self._wall() * 1000), 1000)
        if self._daemon.transport == "unix":
            return f"<{self._priority}>{_local_seconds[second]} posthouse[{os.getpid()}]: ".encode("ascii")
        when = _utc_seconds[second] + MILLISECONDS[ms]
        return f"<{self._priority}>1 {when} {self._host} posthouse {os.getpid()} {self._topic} - ".encode(
            "ascii"
        )


class _Lookup:
    """The addresses of a daemon, found in a thread: the system's resolver may take seconds."""

    def __init__(self, daemon: Daemon) -> None:
        self.addresses: list[_Address] = []
        self.problem = ""
        self._daemon = daemon
        self._done = threading.Event()
        threading.Thread(target=self._run, name="syslog-lookup", daemon=True).start()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)

    def _run(self) -> None:
        kind = socket.SOCK_STREAM if self._daemon.transport == "tcp" else socket.SOCK_DGRAM
        try:
            found = socket.getaddrinfo(self._daemon.host, self._daemon.port, type=kind)
            self.addresses = [(family, kind, protocol, where) for family, kind, protocol, _, where in found]
        except OSError as error:
            self.problem = _reason(error)
        finally:
            self._done.set()


def _is_ready(opened: socket.socket, seconds: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(opened, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
