"""Signals reach the methods they stand for."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from posthouse.server import signals


class Heard:
    """Writes down what it was told, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.came = asyncio.Event()

    def _hear(self, method: str, cause: str) -> None:
        self.calls.append((method, cause))
        self.came.set()

    def stop(self, cause: str) -> None:
        self._hear("stop", cause)

    def reload(self, cause: str) -> None:
        self._hear("reload", cause)

    def upgrade(self, cause: str) -> None:
        self._hear("upgrade", cause)


@pytest.mark.parametrize(
    ("number", "call"),
    [
        (signal.SIGTERM, ("stop", "TERM")),
        (signal.SIGINT, ("stop", "INT")),
        (signal.SIGQUIT, ("stop", "QUIT")),
        (signal.SIGUSR1, ("reload", "USR1")),
        (signal.SIGHUP, ("reload", "HUP")),
        (signal.SIGUSR2, ("upgrade", "USR2")),
    ],
)
def test_each_signal_is_a_method(number: signal.Signals, call: tuple[str, str]) -> None:
    async def conversation() -> list[tuple[str, str]]:
        heard = Heard()
        loop = asyncio.get_running_loop()
        signals.listen(loop, heard)
        try:
            os.kill(os.getpid(), number)
            await asyncio.wait_for(heard.came.wait(), 5)
        finally:
            for obeyed in signals.table(heard):
                loop.remove_signal_handler(obeyed)
        return heard.calls

    assert asyncio.run(conversation()) == [call]
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
