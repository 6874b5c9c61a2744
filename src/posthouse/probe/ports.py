"""What probes need of who makes them, as small protocols beside the code that uses them: `server/runtime.py` has it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol

from posthouse.config.specs import EndpointSpec, UpstreamTimeouts

if TYPE_CHECKING:
    from posthouse.probe.check import Check


class Connection(Protocol):
    """A connection to a backend; it reads and judges the response (net/upstream_h1.py)."""

    def begin(self, exchange: Any, idle_timeout: float, *, is_bodiless: bool) -> None: ...
    def send(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Cancellable(Protocol):
    """A timer or a dial that can be called off."""

    def cancel(self) -> object: ...


class Log(Protocol):
    """The process log."""

    def info(self, what: str, *, key: str | None = None, **fields: Any) -> None: ...
    def warn(self, what: str, *, key: str | None = None, **fields: Any) -> None: ...


class Services(Protocol):
    """What is lent to probes."""

    @property
    def log(self) -> Log: ...
    def clock(self) -> float:
        """Monotonic seconds."""

    def chance(self) -> float:
        """Uniform in [0, 1)."""

    def believed(self, check: Check, /) -> None:
        """Of the backend of this check something else is believed now; the line in the log comes afterwards."""

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Cancellable: ...
    def dial_for_probe(
        self,
        endpoint: EndpointSpec,
        timeouts: UpstreamTimeouts,
        on_done: Callable[[Any], None],
        tls: Hashable | None,
        preface: bytes,
        /,
    ) -> Cancellable:
        """A new connection, never a warm one; `on_done` gets it or a Failure, later.

        tls: for https endpoints; preface: what it begins with
        """
