"""How each proxy is told what operators tell it. HAProxy is one process: nobody can kill one of its workers, and its
reload starts its binary anew, which is its upgrade as well."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.processes import Program, tree
from benchmarks.proxies.setup import Setup
from benchmarks.proxies.table import PROXIES

NAMES: Final = ("posthouse", "nginx", "haproxy")


@dataclass(frozen=True, slots=True)
class Ways:
    """Signals to the main process. upgrade: another binary, or version, takes over; None: as a reload"""

    reload: int
    stop: int
    upgrade: int | None
    has_workers: bool


WAYS: Final = {
    "posthouse": Ways(signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR2, True),
    "nginx": Ways(signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2, True),
    "haproxy": Ways(signal.SIGUSR2, signal.SIGUSR1, None, False),
}


@dataclass(slots=True)
class Front:
    """One proxy at work. main: the pid that signals go to; old: the one before an upgrade;
    first: the very first"""

    name: str
    setup: Setup
    program: Program
    main: int = 0
    old: int = 0
    first: int = 0

    @classmethod
    def start(cls, name: str, setup: Setup, core: int | None) -> Front:
        """Raises NotReady."""
        setup = replace(setup, generation=1)
        argv = PROXIES[name].prepare(setup)
        if name == "nginx":  # in the foreground it ignores the signal for an upgrade
            argv = ["sh", "-c", '"$@"; exec sleep infinity', "sh", *argv[:-1], "daemon on;"]
        program = Program(name, argv, setup.folder, core)
        program.wait_answer(setup.port, "/")
        front = cls(name, setup, program, program.pid)
        if name == "nginx":
            front.main = front._written()
        front.first = front.main
        return front

    def _written(self) -> int:
        """The pid in its file; 0 = there is none."""
        try:
            return int((self.setup.folder / f"{self.name}.pid").read_text())
        except (OSError, ValueError):
            return 0

    @property
    def ways(self) -> Ways:
        return WAYS[self.name]

    def pids(self) -> list[int]:
        """The process tree."""
        return tree(self.main)

    def workers(self) -> list[int]:
        """Those of the main process."""
        return [pid for pid in self.pids() if pid != self.main]

    def change(self) -> int:
        """Write the configuration of the next generation; its number."""
        self.setup = replace(self.setup, generation=self.setup.generation + 1)
        PROXIES[self.name].prepare(self.setup)
        return self.setup.generation

    def reload(self) -> None:
        """Have it read the configuration."""
        os.kill(self.main, self.ways.reload)

    def begin_upgrade(self) -> None:
        """Have a new process start that is to take over."""
        assert self.ways.upgrade is not None
        os.kill(self.main, self.ways.upgrade)

    @property
    def is_succeeded(self) -> bool:
        """Whether the new process serves; from then on it is the main one."""
        pid = self._written()
        if pid in (0, self.main):
            return False
        self.old, self.main = self.main, pid
        return True

    def end_upgrade(self) -> None:
        """nginx leaves it to the operator to send the old process away."""
        if self.name == "nginx":
            os.kill(self.old, self.ways.stop)

    @property
    def is_gone(self) -> bool:
        """Whether the process that was started first has ended."""
        return self.program.has_ended() or not Path(f"/proc/{self.first}").exists()

    def stop(self) -> None:
        """At once, whatever runs."""
        for pid in tree(self.main):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.program.stop()
