"""Logs: the access and error logs of all generations of a worker, one for each output.

Whoever names the same file shares its log: a batch of one never lands inside a line of the other, and it is rotated
once. A log lives as long as a generation uses it, over reloads. Where several workers write to the same files, each
appends whole lines, and only the first of them rotates.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from posthouse.config.outputs import can_rotate, syslog_address
from posthouse.config.specs import RotationSpec
from posthouse.errors import StartError
from posthouse.observe.access_log import AccessLog
from posthouse.observe.housekeeping import Housekeeper
from posthouse.observe.output import Output
from posthouse.observe.process_log import ONCE_A_MINUTE, ProcessLog
from posthouse.observe.rotation import Keeper, Rotation, Rotator
from posthouse.observe.syslog_output import LOCAL_SOCKET, Daemon, SyslogOutput
from posthouse.server.shared_keeper import SharedKeeper

LOOK_SECONDS = 1.0
"""How often the sizes of files are looked at that several workers write to: they grow past their size by what the
others write meanwhile."""
LEAST_SECONDS = 0.02
"""... and how often at most, when one grows quickly."""
CLOSE_SECONDS = 2.0
"""All logs together have so long at the end to get rid of what slow readers have not taken."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """An output; the same file, however it is written, is the same key.

    identity   the file's full name; else the output, for a daemon with the severity
    is_errors  with which severity a daemon gets the lines
    """

    identity: str
    output: str = field(compare=False)
    is_errors: bool = field(compare=False)


def log_key(output: str, *, is_errors: bool = False) -> LogKey:
    """The key of an output as it stands in the configuration."""
    if can_rotate(output):
        return LogKey(os.path.abspath(output), output, is_errors)
    is_daemon = syslog_address(output) is not None
    return LogKey(f"{output} errors" if is_daemon and is_errors else output, output, is_errors)


class Logs:
    """Opened by key, given back by key; the last one closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, process_log: ProcessLog) -> None:
        self._loop = loop
        self._process_log = process_log
        self._held: dict[LogKey, tuple[AccessLog, int]] = {}
        self._outputs: dict[LogKey, Output] = {}
        self._leaving: list[AccessLog] = []
        self._housekeeper = Housekeeper(self._on_trouble)
        self._keeper: Keeper = self._housekeeper
        self._shared: SharedKeeper | None = None
        self._is_rotating = True
        self._timer: asyncio.TimerHandle | None = None
        self._pause = LOOK_SECONDS

    def __repr__(self) -> str:
        return f"<Logs {[key.output for key in self._held]}>"

    def share(self, tell: Callable[[object], None], *, is_first: bool) -> None:
        """Others write to the same files; who is the first rotates them, and tells the others."""
        self._is_rotating = is_first
        if is_first:
            self._keeper = self._shared = SharedKeeper(self._housekeeper, tell)

    def open(self, key: LogKey) -> AccessLog:
        """The log of an output, shared by all who name it; give it back. Raises StartError."""
        held = self._held.get(key)
        log, users = held if held is not None else (self._open(key), 0)
        self._held[key] = (log, users + 1)
        return log

    def give_back(self, key: LogKey) -> None:
        """One user less; the last one closes it, with everything written."""
        held = self._held.get(key)
        if held is None:
            return  # closed with everything else; an exchange ended after that
        log, users = held
        if users > 1:
            self._held[key] = (log, users - 1)
            return
        del self._held[key]
        self._outputs.pop(key, None)
        log.retire()
        self._leaving = [one for one in self._leaving if not one.is_closed]
        if not log.is_closed:
            self._leaving.append(log)

    def rotate(self, key: LogKey, spec: RotationSpec) -> None:
        """From now on the file of this key is rotated so."""
        output = self._outputs.get(key)
        if output is None or not self._is_rotating:
            return
        if spec.is_off:
            output.rotator = None
            return
        rotation = Rotation(spec.size, spec.age, spec.keep, spec.is_compressed)
        if output.rotator is None or output.rotator.rotation != rotation:
            is_shared = self._shared is not None
            output.rotator = Rotator(rotation, self._keeper, self._on_full, is_shared=is_shared)
            output.rotator.tidy(output.name)
            if is_shared and self._timer is None:
                self._look()

    def _look(self) -> None:
        """The others may fill a file while we have nothing to write."""
        times = min((output.look() for output in self._outputs.values()), default=math.inf)
        # Twice until the first of them is full, at the pace at which it grows.
        self._pause = min(LOOK_SECONDS, max(LEAST_SECONDS, self._pause * times / 2))
        self._timer = self._loop.call_later(self._pause, self._look)

    def tidy(self, path: str) -> None:
        """Nobody writes to the files put aside from this one any more."""
        if self._shared is not None:
            self._shared.tidy(path)

    def reopen(self) -> None:
        """Open the files of all logs again, by name."""
        for log, _ in self._held.values():
            log.reopen()

    def reopen_file(self, path: str) -> bool:
        """Open this file again, by whatever names we have it; False: it could not be, and the old one is still
        written to."""
        ours = [log for key, (log, _) in self._held.items() if os.path.realpath(key.identity) == path]
        answers = [log.reopen() for log in ours]  # all of them, whatever the first one says
        return all(answers)

    def close(self) -> None:
        """Write everything and close, within CLOSE_SECONDS."""
        if self._timer is not None:
            self._timer.cancel()
        deadline = time.monotonic() + CLOSE_SECONDS
        logs = [log for log, _ in self._held.values()] + self._leaving
        self._held.clear()
        self._outputs.clear()
        self._leaving.clear()
        for log in logs:
            log.flush()  # first all of them, so that one that waits keeps no other from its lines
        for log in logs:
            log.close(max(0.0, deadline - time.monotonic()))
        self._housekeeper.stop()

    def _open(self, key: LogKey) -> AccessLog:
        output = key.output
        daemon = syslog_address(output)
        if daemon is not None:
            where = Daemon(daemon.transport, daemon.host or LOCAL_SOCKET, daemon.port)
            sink = SyslogOutput(output, where, "error" if key.is_errors else "info")
            return AccessLog(sink, self._loop.call_later, self._process_log)
        try:
            file = Output(output)
        except OSError as error:
            raise StartError(f"cannot open the log {output}: {error.strerror or error}") from error
        if can_rotate(output):
            self._outputs[key] = file
        return AccessLog(file, self._loop.call_later, self._process_log)

    def _on_full(self, path: str, reason: str) -> None:
        self._report("log not rotated", path, reason)

    def _on_trouble(self, path: str, reason: str) -> None:
        """In the housekeeper's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._report, "rotated log not tidied", path, reason)

    def _report(self, what: str, path: str, reason: str) -> None:
        self._process_log.error(what, key=path, limit=ONCE_A_MINUTE, path=path, error=reason)


class DryLogs(Logs):
    """Opens nothing."""

    def _open(self, key: LogKey) -> AccessLog:
        return AccessLog(Output(os.devnull), self._loop.call_later, self._process_log)
