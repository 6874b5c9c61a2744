"""AccessLog: the lines of a log, gathered and written in batches.

What a request pays for a line is an append. The line is made by `access_lines` or `error_log`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from posthouse.observe.process_log import ONCE_A_MINUTE, ProcessLog

FLUSH_BYTES = 64 * 1024
"""A batch is written when it has this many bytes: one system call for some 500 lines."""
FLUSH_SECONDS = 0.5
"""... or after this time, so that `tail -f` is of use."""
RETIRE_TURNS = 20
"""How many FLUSH_SECONDS a log that nobody writes to any more has to catch up."""
_PATIENCE = 1.0


class Sink(Protocol):
    """Where batches go: `output.Output`, `syslog_output.SyslogOutput`."""

    lost: int

    @property
    def name(self) -> str: ...
    @property
    def problem(self) -> str: ...
    @property
    def is_behind(self) -> bool: ...
    def send(self, lines: bytes, /) -> bool: ...
    def reopen(self) -> None: ...
    def close(self, patience: float, /) -> None: ...


class Cancellable(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None:
        """The callback will not be called."""


class CallLater(Protocol):
    """`loop.call_later`, or a fake clock's."""

    def __call__(self, delay: float, callback: Callable[[], object], /) -> Cancellable:
        """Call `callback` once, `delay` seconds from now."""


class AccessLog:
    """Lines to one sink; `errors` writes through one as well.

    `write` only gathers; the batch goes out at FLUSH_BYTES, after FLUSH_SECONDS, at `reopen` and at
    `close`. A crash loses at most the batch. Nothing here raises or waits because of the output: a full
    disk, a closed pipe, a slow reader or an absent syslog is reported to the process log once a minute, lines
    are kept up to a limit and then counted. To be used from the event loop's thread.
    """

    __slots__ = (
        "_call_later",
        "_has_told",
        "_has_trouble",
        "_lines",
        "_process_log",
        "_sink",
        "_size",
        "_timer",
        "_turns_left",
        "is_closed",
    )

    def __init__(self, sink: Sink, call_later: CallLater, process_log: ProcessLog) -> None:
        self._sink = sink
        self._call_later = call_later
        self._process_log = process_log
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: Cancellable | None = None
        self._has_trouble = False
        self._has_told = False
        self._turns_left = -1
        self.is_closed = False

    def __repr__(self) -> str:
        return f"<AccessLog {self.name} pending={self._size}>"

    @property
    def name(self) -> str:
        """The output as it was given."""
        return self._sink.name

    def write(self, line: bytes) -> None:
        """Take one line (newline included)."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = self._call_later(FLUSH_SECONDS, self._on_timer)

    def flush(self) -> None:
        """Hand the batch to the output now."""
        batch = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        is_out = self._sink.send(batch)
        if self._sink.problem:
            self._report()
        elif is_out and self._has_trouble:
            self._report_end()
        if self._sink.is_behind and self._timer is None:
            self._timer = self._call_later(FLUSH_SECONDS, self._on_timer)

    def reopen(self) -> bool:
        """Open the path anew after the file was renamed; what was gathered before still goes to the old file.

        If it cannot be opened (False) the old file is kept and the process log says so.
        """
        self.flush()
        try:
            self._sink.reopen()
        except OSError as error:
            self._process_log.error(
                "log not reopened", key=self.name, path=self.name, error=error.strerror or str(error)
            )
            return False
        return True

    def retire(self) -> None:
        """Nobody writes any more: close as soon as everything is out, without waiting here for it."""
        self.flush()
        if self._sink.is_behind:
            self._turns_left = RETIRE_TURNS
        else:
            self.close(0.0)

    def close(self, patience: float = _PATIENCE) -> None:
        """Write everything and close; waits at most `patience` seconds for a slow reader. Idempotent."""
        self.flush()
        self._sink.close(patience)
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sink.lost:
            self._process_log.error("log lost lines", key=self.name, path=self.name, lost=self._sink.lost)
            self._sink.lost = 0
        self._has_trouble = False

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()
        if self._turns_left > 0:
            self._turns_left -= 1
            if not self._turns_left or not self._sink.is_behind:
                self.close(0.0)

    def _report(self) -> None:
        sink = self._sink
        self._has_trouble = True
        self._has_told |= self._process_log.begin_trouble(
            "log not written",
            key=sink.name,
            limit=ONCE_A_MINUTE,
            path=sink.name,
            error=sink.problem,
            lost=sink.lost,
        )

    def _report_end(self) -> None:
        sink = self._sink
        if (
            self._has_told or sink.lost
        ):  # the end of what nobody was told of is no news, but for lines that are lost
            self._process_log.info("log written again", path=sink.name, lost=sink.lost)
        self._has_trouble = self._has_told = False
        sink.lost = 0
