"""Waiter: an exchange in the queue of a pool whose backends are all full (balance/waiting.py).

Laws:
1. It is woken by a release, a change of health, or a mark that falls; never by asking again and again.
2. A backend is held from the call in which it was offered; the attempt begins in the next turn of the event loop,
   because whoever gave the backend back is still at it.
3. It ends once: with its turn, with a failure, or with `leave`, which gives back what is held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from posthouse.balance.backend import Backend
from posthouse.balance.pool import Pool
from posthouse.balance.trials import Trials
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.proxy.ports import NEVER, Cancellable

if TYPE_CHECKING:
    from posthouse.proxy.subject import ExchangeFacts

LEAST_PAUSE: Final = 0.001
"""Event loops count in milliseconds and may be early by one: without a pause the timer would spin until it is time."""


class Waiter:
    """The waits of one exchange, one after the other.

    pool      whose queue it is or was in
    since     when it came there, monotonic seconds
    backend   held for it since its turn came, until the attempt begins; else None
    trial     what `Pool.acquire` answered for it
    on_turn   told (now, backend, trial): the backend is held, begin
    on_fail   told why there is no more waiting
    """

    __slots__ = (
        *("_deadline", "_due", "_exchange", "_has_turn", "_is_waiting", "_timer", "_waited"),
        *("backend", "on_fail", "on_turn", "pool", "since", "trial"),
    )

    def __init__(
        self,
        exchange: ExchangeFacts,
        pool: Pool,
        on_turn: Callable[[float, Backend, Trials | None], None],
        on_fail: Callable[[Failure], None],
    ) -> None:
        self.pool = pool
        self.since = 0.0
        self.backend: Backend | None = None
        self.trial: Trials | None = None
        self.on_turn = on_turn
        self.on_fail = on_fail
        self._exchange = exchange
        self._deadline = self._due = NEVER
        self._has_turn = self._is_waiting = False
        self._timer: Cancellable | None = None
        self._waited = 0.0

    def __repr__(self) -> str:
        state = "its turn" if self._has_turn else "waiting" if self._is_waiting else "served"
        return f"<Waiter for {self.pool.name!r} {state}>"

    def waited(self, now: float) -> float:
        """Seconds spent in queues so far."""
        return self._waited + (max(now - self.since, 0.0) if self._is_waiting else 0.0)

    def join(self, pool: Pool, now: float) -> None:
        """Wait in the queue of `pool`, as the last."""
        wait = pool.spec.queue.wait
        self.pool = pool
        self.since = now
        self._deadline = NEVER if wait is None else now + wait
        self._is_waiting = True
        pool.queue.join(self)
        if self._is_waiting:
            self._arm(now)

    def leave(self) -> None:
        """Nobody waits any more: out of the queue, and what is held is given back. Idempotent."""
        if self._is_waiting:
            self._end_wait()
            self.pool.queue.leave(self)
        elif self._has_turn:
            backend = self._end_turn()
            if backend is not None:
                if self.trial is not None:
                    backend.abandon(self.trial, self._exchange.services.clock())
                self.pool.release(backend)

    @property
    def is_passed(self) -> bool:
        """For the queue: whether to ask those behind it though it found nothing."""
        return self.pool.has_room_for_sessions

    def take(self) -> bool:
        """For the queue: hold a backend if there is one."""
        now = self._exchange.services.clock()
        backend = self._choose(now)
        if backend is None:
            if self.pool.why_not(now, self._exchange, self._exchange.tried) is FailureKind.FULL:
                self._arm(now)
                return False
        else:
            self.trial = self.pool.acquire(backend)
        self.backend = backend
        self._end_wait()
        self._has_turn = True
        self._timer = self._exchange.services.call_later(0.0, self._begin)
        return True

    def _choose(self, now: float) -> Backend | None:
        exchange, claims = self._exchange, self.pool.claims
        if claims is None:
            return self.pool.select(exchange, now, exchange.tried)
        return claims.claim(exchange, now, exchange.tried, self.since)

    def _begin(self) -> None:
        """The next turn of the loop: with the backend, or knowing that none can be waited for."""
        if not self._has_turn:  # some loops had queued this call already when it was called off
            return
        backend = self._end_turn()
        now = self._exchange.services.clock()
        if backend is not None:
            self.on_turn(now, backend, self.trial)
        else:
            kind = self.pool.why_not(now, self._exchange, self._exchange.tried)
            self.on_fail(Failure(kind, Side.POSTHOUSE, self.pool.explain(kind), Sent.NOTHING))

    def _arm(self, now: float) -> None:
        """Look again when the time is over, or when the next mark falls."""
        due = min(self._deadline, self.pool.changes_at)
        if due >= self._due:
            return
        self._stop_timer()
        self._due = due
        self._timer = self._exchange.services.call_later(max(due - now, LEAST_PAUSE), self._look)

    def _look(self) -> None:
        if not self._is_waiting:
            return
        self._timer, self._due = None, NEVER
        self.pool.queue.wake()
        if not self._is_waiting:
            return
        now = self._exchange.services.clock()
        if now < self._deadline:
            self._arm(now)
            return
        self._end_wait()
        self.pool.queue.leave(self)
        reason = f"waited {self.pool.spec.queue.wait:g} s: {self.pool.explain(FailureKind.FULL)}"
        self.on_fail(Failure(FailureKind.QUEUE_TIMEOUT, Side.POSTHOUSE, reason, Sent.NOTHING))

    def _end_wait(self) -> None:
        self._waited = self.waited(self._exchange.services.clock())
        self._is_waiting = False
        self._stop_timer()

    def _end_turn(self) -> Backend | None:
        """What was held."""
        self._has_turn = False
        self._stop_timer()
        backend, self.backend = self.backend, None
        return backend

    def _stop_timer(self) -> None:
        self._due = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
