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
from collections.abc import Mapping
from typing import Final

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


def forget_sockets(env: dict[str, str]) -> None:
    """So that no child takes them for its own."""
    for name in _SOCKET_VARIABLES:
        env.pop(name, None)
