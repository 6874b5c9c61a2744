"""Signals are methods of the worker: this is the table of which is which."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol


class Controlled(Protocol):
    """Who obeys. All return at once; the work goes on in the event loop."""

    def stop(self, cause: str) -> None:
        """Drain; called again, end at once."""

    def reload(self, cause: str) -> object:
        """Read the configuration again and reopen the logs."""

    def upgrade(self, cause: str) -> object:
        """Hand over to a new program."""


def listen(loop: asyncio.AbstractEventLoop, controlled: Controlled) -> None:
    """Obey from now on. A closed pipe is an error of the write, never a signal that kills us."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for number, method in table(controlled).items():
        loop.add_signal_handler(number, method, number.name.removeprefix("SIG"))


def table(controlled: Controlled) -> dict[signal.Signals, Callable[[str], object]]:
    """Which signal calls which method, with its short name ("TERM")."""
    return {
        signal.SIGTERM: controlled.stop,
        signal.SIGINT: controlled.stop,
        signal.SIGQUIT: controlled.stop,
        signal.SIGUSR1: controlled.reload,
        signal.SIGHUP: controlled.reload,
        signal.SIGUSR2: controlled.upgrade,
    }
