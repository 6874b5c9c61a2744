"""A backend: one endpoint and its live state, shared by the generations that keep it.

Laws:
1. `is_usable` is true exactly when the backend is up (neither down nor draining, by checks or order), not left out for
   failures (marks, breaker, a trial that others have taken), and not full, as of the last time `Watch.expire` ran.
2. Every change of `is_usable` raises `Watch.changes`, and every mark that will fall is in the watch's heap.
   So a pool may trust its ready tuple while neither number tells it otherwise.
"""

from __future__ import annotations

from collections.abc import Hashable

from posthouse.balance import orders, slow_start
from posthouse.balance.active_health import State
from posthouse.balance.breaker import Phase
from posthouse.balance.comeback import TRIAL_SECONDS
from posthouse.balance.health import NEVER
from posthouse.balance.holding import NO_LIMIT, Holding
from posthouse.balance.identity import name_of
from posthouse.balance.peak_ewma import PeakEwma
from posthouse.balance.stable_hash import seed_of
from posthouse.balance.trials import Result, Trials
from posthouse.balance.watch import Watch
from posthouse.config.specs import EndpointSpec, PassiveSpec


class Backend(Holding):
    """One endpoint with what is known of it now; who holds it: `Holding`.

    endpoint   what is dialled
    name       for people: the endpoint's text; a repeat within the pool gets "#2"
    seed       64 bits that place it among others for hashing; depends on the key only
    tls        the TLS identity that it is dialled with, None for plain ones; whoever dials knows what it is
    is_usable  up, not left out, not full (see the laws above); read it, never set it
    fault      the last failure that counted against it, one short phrase, or ""
    marked_since  since when as many failures are remembered as the pool tolerates; None = they are not, or unknown
    state      what active health checks believe; set it with `believe`
    order      what was ordered of it, since when; set it with `obey`
    reason, since  why, one short phrase, and from when on, monotonic seconds; "" and None: from the beginning
    is_known   whether a pool with it has started before
    weight     of the configuration in force
    slow_start seconds of a slow start, 0 = off
    warmth     how far a slow start has come: 1.0 = no slow start, or over
    share      weight × warmth: what weighted policies go by
    latency    what `policy ewma` knows of its response times
    """

    __slots__ = (
        *(
            "_fail_timeout",
            "_is_barred",
            "_is_marked",
            "_is_up",
            "_mark_due",
            "endpoint",
            "fault",
            "is_known",
        ),
        *("key", "latency", "marked_since", "name", "order", "reason", "seed", "share", "since"),
        *("slow_start", "state", "tls", "warm_since", "warmth", "weight"),
    )

    def __init__(self, endpoint: EndpointSpec, occurrence: int, watch: Watch) -> None:
        super().__init__(watch)
        self.endpoint = endpoint
        self.key = endpoint.text, occurrence
        self.name, self.seed = name_of(self.key), seed_of(*self.key)
        self.tls: Hashable | None = None
        self._is_up = True
        self.state = State.UP
        self.since: float | None = None
        self.order = orders.NO_ORDER
        self._is_marked = self._is_barred = False
        self._mark_due = NEVER
        self.fault, self.reason = "", ""
        self.marked_since: float | None = None
        self._fail_timeout = 0.0
        self.weight = endpoint.weight
        self.slow_start, self.warmth = 0.0, 1.0
        self.warm_since: float | None = None
        self.share = float(self.weight)
        self.latency = PeakEwma()
        self.is_known = False

    def __repr__(self) -> str:
        limit = f"/{self.max_conns}" if self.max_conns else ""
        belief = "marked" if self._is_up and self._is_marked else self.state
        return f"<Backend {self.name} {belief} in_flight={self.in_flight}{limit}>"

    @property
    def is_up(self) -> bool:
        """Whether active health checks, and whoever runs us, let it have new requests."""
        return self._is_up

    @is_up.setter
    def is_up(self, is_up: bool) -> None:
        self.believe(State.UP if is_up else State.DOWN)

    def believe(self, state: State, reason: str = "", since: float | None = None) -> None:
        """What active health checks believe from now on. What failed requests have marked is not touched."""
        self.state, self.reason, self.since = state, reason, since
        self._rise_or_fall()

    def obey(self, order: orders.Order) -> None:
        """This is ordered from now on. Its weight is the business of whoever builds the pool (`Orders.weighed`)."""
        self.order = order
        self._rise_or_fall()

    def _rise_or_fall(self) -> None:
        was_up, self._is_up = self._is_up, self.state is State.UP and self.order.kind is None
        if self._is_up and not was_up and not self.has_failed:
            self.cool()
        self._place()
        self._watch.tell()

    def cool(self) -> None:
        """It comes back, or is new among others: its slow start begins, if the pool has one."""
        if self.slow_start:
            self.warm_since = None
            self._set_warmth(slow_start.FLOOR)
            self._watch.warm(self)

    def warm_up(self, now: float) -> None:
        """For `Watch` only: go on with the slow start, which begins with the first call."""
        if self.warm_since is None:
            self.warm_since = now
        self._set_warmth(slow_start.warmth(now - self.warm_since, self.slow_start))

    def _set_warmth(self, warmth: float) -> None:
        self.warmth = warmth
        self.share = self.weight * warmth

    @property
    def is_only_full(self) -> bool:
        """Whether nothing keeps it from being usable but that it is full, as of the last time `Watch.expire` ran."""
        is_watched = self._is_barred or self.comeback.lone is not None
        return self._is_up and self.is_full and (not is_watched or self._may_try)

    @property
    def _may_try(self) -> bool:
        """Where it is left out, or only tried: whether one more may try."""
        trials = self.comeback.trials
        return not self._is_marked and trials is not None and trials.has_room

    def is_available(self, now: float) -> bool:
        """Up, not marked and not full, at `now`."""
        return self._is_up and not self.is_full and not self.is_marked(now)

    def may_finish(self, now: float) -> bool:
        """Draining, but able to go on with sessions that it has."""
        return not self.is_full and self.is_finishing(now)

    def is_finishing(self, now: float) -> bool:
        """The same, full or not."""
        is_left_out = self.comeback.is_tripped or self.is_marked(now)
        return orders.may_finish(self.order.kind, self.state) and not is_left_out

    def configure(
        self, endpoint: EndpointSpec, max_conns: int, passive: PassiveSpec, slow_start: float = 0.0
    ) -> None:
        """Take new settings and keep the state. The endpoint's text must be the one that it was made with.

        max_conns  the pool's; one of the endpoint's own goes before it
        """
        self.endpoint = endpoint
        limit = max_conns if endpoint.max_conns is None else endpoint.max_conns
        self._full_at = limit if limit > 0 else NO_LIMIT
        self.slow_start = slow_start
        self.weight = endpoint.weight
        self._set_warmth(self.warmth if slow_start else 1.0)
        self._fail_timeout = passive.fail_timeout
        self._max_fails = passive.max_fails
        if self._fail_timeout <= 0:
            self._window.clear()
        self.comeback.fit(passive.breaker)
        self._mark()

    def fail(
        self, now: float, reason: str = "", trial: Trials | None = None, seconds: float | None = None
    ) -> None:
        """A failure that counts against it (`retry.is_backend_fault`, `judge`); forgotten after `fail_timeout`."""
        if self._fail_timeout > 0:
            expiry = self._window.add(now, now + self._fail_timeout)
            if self._watch.on_failure is not None:
                self._watch.on_failure(self, expiry, reason)
        was, comeback = self.comeback.phase, self.comeback
        if trial is None:
            has_changed = comeback.learn(True, seconds, now)
        else:
            has_changed = comeback.end(trial, Result.FAILED, reason, now)
        self.fault = reason
        self._mark(now)
        if has_changed:
            self._tell(was)

    def remember(self, now: float, expiry: float, reason: str) -> None:
        """Another worker saw it fail, and that counts until `expiry`; what is known already counts once."""
        if expiry > now and self._fail_timeout > 0:
            if not self._window.has(expiry):
                self._window.add(now, expiry)
            self.fault = reason
            self._mark(now)

    def follow(self, phase: Phase, reason: str, since: float, until: float | None) -> None:
        """Another worker's breaker entered this phase then: ours does too, unless it has changed since."""
        breaker = self.comeback.breaker
        if breaker is not None and breaker.follow(phase, reason, since, until):
            self._place()
            if until is not None:
                self._watch.mark(self, until)

    def succeed(
        self, now: float, seconds: float | None, trial: Trials | None = None, error: str = ""
    ) -> None:
        """It answered: no failure; error: what makes the answer one for the breaker, or ""."""
        was, comeback = self.comeback.phase, self.comeback
        if trial is None:
            has_changed = comeback.learn(bool(error), seconds, now)
        else:
            has_changed = comeback.answer(trial, error, seconds, now)
            self._settle()
        if has_changed:
            self._tell(was)

    def abandon(self, trial: Trials, now: float) -> None:
        """A trial has come to no result."""
        self.comeback.end(trial, Result.UNDECIDED, "", now)
        self._settle()

    def try_alone(self, now: float) -> None:
        """It comes back where nobody else is there: one request first."""
        self.comeback.try_alone(now)
        if self.comeback.lone is not None:
            self._watch.mark(self, now + TRIAL_SECONDS)
        self._settle()

    def _tell(self, was: Phase) -> None:
        breaker = self.comeback.breaker
        self._place()
        if breaker is not None and breaker.until is not None:
            self._watch.mark(self, breaker.until)
        if self._watch.on_breaker is not None and not (breaker is not None and breaker.is_followed):
            self._watch.on_breaker(self, was)

    def review(self, now: float) -> None:
        """For `Watch` only: a mark's time has come. More failures may have moved it on since."""
        self._window.forget(now)
        if now >= self._mark_due:
            self._is_marked = False
        was, trials = self.comeback.phase, self.comeback.trials
        if self.comeback.review(now):
            self._tell(was)
        elif was is Phase.HALF_OPEN and self.comeback.trials is not trials:
            breaker = self.comeback.breaker
            assert breaker is not None and breaker.until is not None
            self._watch.mark(self, breaker.until)
        self._mark(now)

    def _mark(self, now: float | None = None) -> None:
        until = self._window.below(self._max_fails)
        was_marked = self._is_marked
        self._is_marked = until != -NEVER
        if not self._is_marked:
            self.marked_since = None
        else:
            self.comeback.lone = None
            if self.marked_since is None:
                self.marked_since = now
        self._place()
        if self._is_marked and (not was_marked or until < self._mark_due):
            self._mark_due = until
            self._watch.mark(self, until)

    @property
    def has_failed(self) -> bool:
        """Whether its failures say that it should be left out. Whether it is depends on the others (`ejection`)."""
        return self._is_marked or self.comeback.is_tripped

    def bar(self, is_barred: bool) -> None:
        """Leave it out because of its failures, or take it back."""
        if self._is_barred and not is_barred and not self.has_failed:
            self.cool()
        self._is_barred = is_barred
        self._settle()

    def _place(self) -> None:
        """Its health or its failures may have changed."""
        if self.comeback.phase is Phase.HALF_OPEN:
            self._watch.trying[self] = None
        elif self._watch.trying:
            self._watch.trying.pop(self, None)
        ejections = self._watch.ejections
        if ejections is None or self not in ejections.members:
            self.bar(self.has_failed)
        else:
            ejections.review()

    def _count(self) -> None:
        self._settle()
        if self._watch.tally is not None:
            self._watch.tally.update(self)

    def _settle(self) -> None:
        self._alert()
        is_usable = self._is_up and self.in_flight < self._full_at
        if self._is_barred or self.comeback.lone is not None:
            is_usable = is_usable and self._may_try
        if is_usable != self.is_usable:
            self.is_usable = is_usable
            self._watch.note(self)
