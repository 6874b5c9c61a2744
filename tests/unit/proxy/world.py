"""What a worker lends to its exchanges, in the hand of a test: time, dialling, warm connections, logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posthouse.balance.backend import Backend
from posthouse.config.specs import (
    PoolSpec,
)
from posthouse.errors import Failure
from posthouse.observe.metrics import Metrics
from posthouse.proxy.ports import Timed, Upstream
from unit.proxy.samples import OFF, START

if TYPE_CHECKING:
    from unit.proxy.peers import Connection


@dataclass(eq=False)
class Timer:
    """What `call_later` gave out."""

    at: float
    callback: Callable[[], None]
    is_live: bool = True

    def cancel(self) -> None:
        self.is_live = False


@dataclass(eq=False)
class Dial:
    """A connection being opened."""

    backend: Backend
    on_done: Callable[[Any], None]
    world: World
    is_pending: bool = True

    def cancel(self) -> None:
        self.is_pending = False

    def end(self, result: Upstream | Failure) -> None:
        assert self.is_pending, "a dial ends once, and never after it was called off"
        self.is_pending = False
        self.on_done(result)


class Timers:
    """Deadlines of tunnels."""

    def __init__(self) -> None:
        self.members: set[Any] = set()

    def set(self, timed: Timed, deadline: float, /) -> None:
        timed.deadline = deadline
        self.members.add(timed)

    def forget(self, timed: Timed, /) -> None:
        timed.deadline = OFF
        self.members.discard(timed)

    def pass_to(self, now: float) -> None:
        for timed in [one for one in self.members if one.deadline <= now]:
            timed.deadline = OFF
            timed.on_deadline(now)


class Log:
    """The process log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, what: str, *, key: str | None = None, **fields: Any) -> None:
        self.lines.append(("info", what, fields))

    def warn(self, what: str, *, key: str | None = None, **fields: Any) -> None:
        self.lines.append(("warn", what, fields))

    def error(self, what: str, *, key: str = "", **fields: Any) -> None:
        self.lines.append(("error", what, fields))

    def failures(self) -> list[str]:
        """The kinds of failure that were logged."""
        return [fields["failure"] for _, _, fields in self.lines if "failure" in fields]


class World:
    """Services: the clock stands still until the test says otherwise; dials end when the test says so."""

    def __init__(self) -> None:
        self.now = START
        self.clock = lambda: self.now
        self.chance = lambda: 0.5
        """In the middle: waits are not spread."""
        self.timers = Timers()
        self.log = Log()
        self.metrics: Metrics | None = None
        self.calls: list[Timer] = []
        self.dials: list[Dial] = []
        self.warm: dict[str, list[Connection]] = {}
        self.full_clients = self.sources = 0
        self.careful: list[bool] = []
        """is_careful of each `acquire`."""
        self.clients: list[object] = []
        """client of each `acquire`, and of each `dial`."""
        self.connections: list[Connection] = []
        """All that carried an exchange, in order."""

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        timer = Timer(self.now + seconds, callback)
        self.calls.append(timer)
        return timer

    def acquire(self, backend: Backend, *, is_careful: bool, client: object) -> Connection | None:
        assert backend.in_flight, "it must be held before it is used"
        self.careful.append(is_careful)
        self.clients.append(client)
        lane = self.warm.get(backend.endpoint.host)
        return lane.pop() if lane else None

    def dial(
        self, backend: Backend, pool: PoolSpec, client: object, on_done: Callable[[Any], None], /
    ) -> Dial:
        assert backend.in_flight, "it must be held before it is used"
        owner = on_done.__self__  # type: ignore[attr-defined]
        assert not self.running(owner), "two attempts at once"
        self.clients.append(client)
        dial = Dial(backend, on_done, self)
        self.dials.append(dial)
        return dial

    def running(self, exchange: object) -> list[object]:
        """What runs for an exchange: dials and connections."""
        dials = [one for one in self.dials if one.is_pending and one.on_done.__self__ is exchange]  # type: ignore[attr-defined]
        return [
            *dials,
            *(one for one in self.connections if one.exchange is exchange and not one.wire.is_closed),
        ]

    def live_timers(self) -> list[float]:
        """Seconds from now of all calls that are still to come."""
        return [timer.at - self.now for timer in self.calls if timer.is_live]

    def pass_time(self, seconds: float) -> None:
        """Let the clock run; what is due is called in its order."""
        end = self.now + seconds
        while due := [timer for timer in self.calls if timer.is_live and timer.at <= end]:
            timer = min(due, key=lambda one: one.at)
            timer.is_live = False
            self.now = max(self.now, timer.at)
            timer.callback()
        self.now = end
        self.timers.pass_to(end)
