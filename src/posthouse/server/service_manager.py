"""The service manager (systemd), told of our state, and asked for sockets that it listens on: sd_notify(3) and
sd_listen_fds(3), in a few lines of our own.

Nothing of it is an error: without NOTIFY_SOCKET nobody is told, and one that does not listen is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Final

from posthouse.server.sockets import ListenKey

_FIRST_DESCRIPTOR: Final = 3
_SOCKET_VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class ServiceManager:
    """Tells READY, RELOADING, STOPPING, and from READY on that we live, twice in each period of the watchdog."""

    __slots__ = ("_address", "_timer", "_watchdog")

    def __init__(self, env: Mapping[str, str]) -> None:
        self._address = env.get("NOTIFY_SOCKET", "")
        self._watchdog = _watchdog_seconds(env) if self._address else 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<ServiceManager at {self._address or 'nowhere'}>"

    def ready(self) -> None:
        """We serve; also said at the end of a reload."""
        self._tell(f"READY=1\nMAINPID={os.getpid()}")
        if self._watchdog and self._timer is None:
            self._live()

    def reloading(self) -> None:
        """A reload begins."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def hand_over(self, pid: int) -> None:
        """Another process is the main one. We must say so ourselves: only the main one is listened to."""
        self._tell(f"MAINPID={pid}")
        self.close()

    def stopping(self) -> None:
        """We drain."""
        self._tell("STOPPING=1")

    def close(self) -> None:
        """The end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _live(self) -> None:
        self._tell("WATCHDOG=1")
        self._timer = asyncio.get_running_loop().call_later(self._watchdog / 2, self._live)

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as notifying:
            notifying.sendto(state.encode(), address)


def _watchdog_seconds(env: Mapping[str, str]) -> float:
    """The period in which it wants to hear of us; 0 = not at all."""
    microseconds = env.get("WATCHDOG_USEC", "")
    is_ours = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if is_ours and microseconds.isascii() and microseconds.isdigit() else 0.0


def given_sockets(env: Mapping[str, str]) -> list[tuple[str, socket.socket]]:
    """The sockets that were opened for us, each with its name ("" = it has none). They are ours from now on.

    Raises ValueError when what the environment says is not so.
    """
    count = env.get("LISTEN_FDS", "")
    if env.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    names = env.get("LISTEN_FDNAMES", "").split(":")
    given = []
    for number in range(int(count)):
        descriptor = _FIRST_DESCRIPTOR + number
        name = names[number] if number < len(names) else ""
        try:
            os.set_inheritable(descriptor, False)
            one = socket.socket(fileno=descriptor)
        except OSError as error:
            raise ValueError(f"descriptor {descriptor} ({name}) is no socket: {error.strerror}") from None
        one.setblocking(False)
        given.append((name, one))
    return given


def forget_sockets(env: MutableMapping[str, str]) -> None:
    """So that no child takes them for its own."""
    for name in _SOCKET_VARIABLES:
        env.pop(name, None)


def by_address(
    given: Sequence[tuple[str, socket.socket]], keys: Iterable[ListenKey]
) -> dict[ListenKey, list[socket.socket]]:
    """Given sockets by the address that a configuration has for them, several for one where the manager opened several.

    One that no site listens on now is kept for a later configuration, under its plain address.
    Raises ValueError for one that does not listen on a TCP port; it names the socket.
    """
    wanted = list(keys)
    found: dict[ListenKey, list[socket.socket]] = {}
    for name, one in given:
        is_tcp = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
        if not is_tcp or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(f"the socket {name!r} of the service manager does not listen on a TCP port")
        host, port = one.getsockname()[:2]
        is_every = host in ("::", "0.0.0.0")
        plain: ListenKey = ("" if is_every else host, port)
        key = next((key for key in wanted if key[1] == port and _is_same(key[0], host, is_every)), plain)
        found.setdefault(key, []).append(one)
    return found


def _is_same(wanted: str, host: str, is_every: bool) -> bool:
    if is_every:
        return wanted in ("", "::", "0.0.0.0")
    try:
        return (wanted != "" and socket.gethostbyname(wanted) == host) or wanted == host
    except OSError:
        return False
