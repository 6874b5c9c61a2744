"""A pool: the backends of one route, those of them that can be used now, and the policy that picks.

What is ready (`ready.py`) is made anew only when a backend changed between usable and not; on the warm path `select`
compares two numbers and asks the policy.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.balance.budget import RetryBudget
from posthouse.balance.claims import Claims
from posthouse.balance.ejection import Ejections
from posthouse.balance.group import Group
from posthouse.balance.identity import BackendKey, keys_of
from posthouse.balance.lanes import warm_key
from posthouse.balance.orders import may_finish
from posthouse.balance.peak_ewma import FAILED_SECONDS
from posthouse.balance.policies import find_policy
from posthouse.balance.policies.sticky import Sticky
from posthouse.balance.policy import Choice, Policy, Setting, setting_of
from posthouse.balance.ready import Ready
from posthouse.balance.standing import comes_back, why_out
from posthouse.balance.tally import Tally
from posthouse.balance.trials import Trials
from posthouse.balance.waiting import Queue
from posthouse.balance.watch import Watch
from posthouse.config.specs import EndpointSpec, PoolSpec
from posthouse.errors import FailureKind

__all__ = ["Choice", "Pool", "build_pool"]

EVERYBODY: Final = 100.0
"""Percent of `max_ejected` from which on nothing is held back."""
_NOT_STARTED = -1


class Pool:
    """Who is next. `now` is monotonic seconds and never goes back.

    usable    those that are chosen from, in the order of the file, as of the last `select`: the usable ones of
              the first tier that has any (role, then priority)
    queue     who waits because all that are up are full; shared with the pool of this name before and after a reload
    sessions  `policy sticky`, or None
    observes  whether it wants to be told response times
    tls       the TLS identity of its https backends
    claims    how it chooses where other workers use the same backends; None for one alone
    """

    __slots__ = (
        *(
            "_decay",
            "_pick",
            "_ready",
            "_seen",
            "_tally",
            "_uses_load",
            "_watch",
            "backends",
            "claims",
            "name",
        ),
        *("__weakref__", "observes", "queue", "sessions", "spec", "tls", "usable"),
    )

    def __init__(
        self, spec: PoolSpec, setting: Setting, policy: Policy, watch: Watch, tls: Hashable | None = None
    ) -> None:
        self.spec = spec
        self.tls = tls
        self.name = spec.name
        self.backends = setting.backends
        self.usable: Sequence[Backend] = ()
        self.sessions = policy if isinstance(policy, Sticky) else None
        # The policy of a pool of one is never asked; its argument may even be absent from every request. But sessions
        # begin in it that go on when it has grown.
        is_asked = len(self.backends) > 1 or self.sessions is not None
        self._pick = policy.select if is_asked else None
        self._tally: Tally | None = getattr(policy, "tally", None)
        self._decay: float = getattr(policy, "decay", 0.0)
        self.observes = self._decay > 0
        self._uses_load = getattr(policy, "uses_load", False) or spec.hash_balance > 0
        self._ready = Ready(setting)
        self._watch = watch
        self._seen = _NOT_STARTED
        self.queue = Queue(watch)
        self.claims: Claims | None = None

    def __repr__(self) -> str:
        policy = self.spec.policy.name
        return f"<Pool {self.name!r} {policy} {len(self.usable)} of {len(self.backends)} usable>"

    def start(self) -> None:
        """Put this pool's settings into force for its backends, also those it shares with an older pool.

        Not done when the pool is built, because a configuration that fails elsewhere must change nothing. A
        pool that is asked before it was started starts by itself.
        """
        spec, watch = self.spec, self._watch
        self._watch_load()
        watch.ejections = None
        for backend, endpoint in zip(self.backends, spec.endpoints, strict=True):
            backend.configure(endpoint, spec.max_conns, spec.passive, spec.slow_start)
            backend.tls = self._tls_of(endpoint)
        if spec.passive.max_ejected < EVERYBODY:
            watch.ejections = Ejections(self.backends, spec.passive.max_ejected)
            watch.ejections.review()
        if any(backend.is_known for backend in self.backends):
            for backend in self.backends:
                if not backend.is_known:
                    backend.cool()
        for backend in self.backends:
            backend.is_known = True
        watch.serve(self.backends)
        if self._tally is not None:
            self._tally.begin()
        if self.claims is not None:
            self.claims.start()
        self.usable = self._ready.rebuild()
        self._seen = watch.changes
        watch.tell()
        if self.claims is not None:
            # Others may have a limit already, and wait for what was given back here while there was none.
            self.queue.wake()

    def share(self, group: Group) -> None:
        """Other workers use the same backends and one queue: from the start on, or from now if that was before."""
        self.claims = Claims(self, group, self._watch, uses_load=self._uses_load)
        if self._seen != _NOT_STARTED:
            self.claims.start()
            self.queue.wake()

    def _watch_load(self) -> None:
        """From now on it is this pool's tally that is kept up to date, if it has one."""
        before = self._watch.tally
        if before is not None and before is not self._tally:
            before.is_live = False
        self._watch.tally = self._tally

    @property
    def budget(self) -> RetryBudget:
        """What there is for retries; kept over a reload."""
        return self._watch.budget

    def tell(
        self,
        tell: Callable[[Backend, Phase], None] | None,
        on_failure: Callable[[Backend, float, str], None] | None = None,
    ) -> None:
        """Who hears of each backend whose breaker changes, and what it was before; and of each failure that counts,
        until when, and why."""
        self._watch.on_breaker, self._watch.on_failure = tell, on_failure

    def end(self) -> None:
        """It has no successor, and no exchange uses it any more."""
        self._watch.end()
        self.queue.end()

    def lanes(self) -> list[Hashable]:
        """What idle connections of each backend are kept under, as long as this pool's settings are in force."""
        return [
            warm_key(backend, self._tls_of(endpoint))
            for backend, endpoint in zip(self.backends, self.spec.endpoints, strict=True)
        ]

    def _tls_of(self, endpoint: EndpointSpec) -> Hashable | None:
        return self.tls if endpoint.scheme == "https" else None

    def select(self, choice: Choice, now: float, tried: Sequence[Backend] = ()) -> Backend | None:
        """The backend for an exchange, or None if there is none (`why_not` says why).

        tried  one entry for each attempt of this exchange so far. Who was tried least often comes first: so
               retries go round, even where the policy alone would insist on a dead backend
        """
        watch = self._watch
        if now >= watch.expires or self._seen != watch.changes:
            self.look(now)
        usable = self.usable
        if not usable:
            held_by = None if self.sessions is None else self.sessions.held_by(choice, tried, now)
            if held_by is not None:
                return held_by
            usable = self._ready.first_tier(self._desperate())
            if not usable:
                return None
        if self._pick is None:
            return usable[0]
        if tried:
            return self._select_again(choice, tried, now)
        return self._pick(usable, choice, (), now)

    def has_untried(self, now: float, tried: Sequence[Backend]) -> bool:
        """Whether a usable backend is left that this exchange has not tried."""
        self.look(now)
        return any(backend not in tried for tier in self._tiers() for backend in tier)

    def acquire(self, backend: Backend) -> Trials | None:
        """Hold `backend` for one exchange: at once after `select`, with nothing awaited between, or it may be
        full (RuntimeError). Every way out of the attempt gives it back once.

        The answer is not None where the exchange is a trial (`Backend.acquire`)."""
        return backend.acquire()

    def release(self, backend: Backend) -> None:
        """Give `backend` back."""
        backend.release()

    def fail(
        self,
        backend: Backend,
        now: float,
        reason: str = "",
        trial: Trials | None = None,
        seconds: float | None = None,
    ) -> None:
        """A failure that counts against `backend` (see `retry.is_backend_fault` and `judge`).

        reason   for people, one short phrase
        seconds  to the response head, if there was one
        """
        backend.fail(now, reason, trial, seconds)
        if self.observes:
            self.observe(backend, FAILED_SECONDS, now)

    def observe(self, backend: Backend, seconds: float, now: float) -> None:
        """The head of a response of `backend` came after so long. Only for pools that ask for it (`observes`)."""
        backend.latency.observe(seconds, now, self._decay)

    def can_queue(self) -> bool:
        """Whether one more may wait: then it must join the queue at once."""
        return self.queue.claim(self.spec.queue.size)

    @property
    def changes_at(self) -> float:
        """When a backend may become usable by time alone, monotonic seconds; `NEVER` if none does."""
        seniority = self.queue.seniority
        return self._watch.expires if seniority is None else min(self._watch.expires, seniority.until)

    def find(self, key: BackendKey) -> Backend | None:
        """The backend with that key. O(n)."""
        return next((backend for backend in self.backends if backend.key == key), None)

    def has_usable(self) -> bool:
        """Whether a backend can be used, as far as is known without a look at the clock."""
        if self._seen != self._watch.changes:
            self._refresh()
        return bool(self.usable)

    def why_not(self, now: float, choice: Choice | None = None, tried: Sequence[Backend] = ()) -> FailureKind:
        """Why `select` found nothing: FULL if a backend is only full, else NO_BACKEND. O(n).

        choice, tried  as for `select`: an exchange with a session may wait for a draining backend too
        """
        if self.claims is not None and self.claims.is_deferring:
            return FailureKind.FULL
        self.look(now)
        if self.spec.passive.panic:
            is_full = any(one.is_full and _may_be_tried(one) for one in self.backends)
        else:
            is_full = any(one.is_only_full for one in self.backends)
        if not is_full and choice is not None and self.sessions is not None:
            is_full = self.sessions.is_awaited(choice, tried, now)
        return FailureKind.FULL if is_full else FailureKind.NO_BACKEND

    @property
    def has_room_for_sessions(self) -> bool:
        """Whether some may be served who have a session, though nobody else can: by a draining backend. O(n)."""
        if self.sessions is None:
            return False
        return any(may_finish(one.order.kind, one.state) and not one.is_full for one in self.backends)

    def explain(self, kind: FailureKind) -> str:
        """What the log says where `why_not` answered `kind`. O(n)."""
        if kind is FailureKind.FULL:
            size = self.spec.queue.size
            rest = f", and {size} wait already" if 0 < size <= self.queue.length else ""
            if self.sessions is not None and not any(one.is_up for one in self.backends):
                return f"the backend of the session is draining and at max_conns{rest}"
            return f"every backend that is up is at max_conns{rest}"
        if not self.backends:
            sources = ", ".join(source.text for source in self.spec.sources)
            return f"no backend was found: {sources}" if sources else "there is no backend"
        return f"every backend is {why_out(self.backends)}"

    def retry_after(self, now: float, kind: FailureKind = FailureKind.NO_BACKEND) -> float | None:
        """Seconds (above 0) until asking again may help, after a failure of this kind; None if nobody knows. O(n).

        NO_BACKEND: until the first mark falls. Else until all who wait now will have been served or sent away.
        """
        if kind is not FailureKind.NO_BACKEND:
            return self.spec.queue.wait or 1.0
        falls = [comes_back(backend) for backend in self.backends if backend.is_up]
        return min((fall - now for fall in falls if fall > now), default=None)

    def look(self, now: float) -> None:
        """Take in what has changed, and what time alone has."""
        if self._seen == _NOT_STARTED:
            self.start()
        if now >= self._watch.expires:
            self._expire(now)
        if self._seen != self._watch.changes:
            self._refresh()

    def _expire(self, now: float) -> None:
        """Let marks fall. Where nobody could be used, whoever comes back gets one request first.

        Those who wait are told when that is settled: before it they would all come at once.
        """
        ups = [backend for backend in self.backends if backend.is_up]
        out = [backend for backend in ups if backend.has_failed]
        was_out = all(backend.has_failed or backend.comeback.lone is not None for backend in ups)
        watch = self._watch
        tell, watch.on_change = watch.on_change, None
        watch.expire(now)
        if was_out and not self.spec.passive.panic:
            for backend in out:
                if backend.is_usable:
                    backend.try_alone(now)
        watch.on_change = tell
        watch.tell()

    def _desperate(self) -> Sequence[Backend]:
        """With `panic on`, where nobody can be used: all that are neither full nor draining, nor kept back by order."""
        if not self.spec.passive.panic:
            return ()
        return [one for one in self.backends if not one.is_full and _may_be_tried(one)]

    def _refresh(self) -> None:
        watch = self._watch
        self.usable = self._ready.follow(watch.changed, watch.changes - self._seen)
        self._seen = watch.changes

    def _tiers(self) -> Sequence[Sequence[Backend]]:
        """All that may be tried now, by tier: those that can be used, or else what `panic` leaves."""
        return self._ready.tiers if self.usable else self._ready.by_tier(self._desperate())

    def _select_again(self, choice: Choice, tried: Sequence[Backend], now: float) -> Backend:
        assert self._pick is not None
        # Other tiers too, when all of the first were tried: what is wrong with those is perhaps not known yet.
        tiers = self._tiers()
        for tier in tiers:
            fresh = self._ready.without(tier, tried)
            if fresh:
                return self._pick(fresh, choice, tried, now)
        every = [backend for tier in tiers for backend in tier]
        least = min(tried.count(backend) for backend in every)
        equal = [backend for backend in every if tried.count(backend) == least]
        candidates = self._ready.first_tier(equal)
        left_out = [backend for backend in tried if backend not in candidates]
        return self._pick(candidates, choice, left_out, now)


def _may_be_tried(backend: Backend) -> bool:
    """Whether `panic` may send something there."""
    return backend.state is not State.DRAINING and backend.order.kind is None


def build_pool(
    spec: PoolSpec,
    rng: random.Random,
    previous: Pool | None,
    tls: Hashable | None = None,
    begin: float | None = None,
    take_number: Callable[[], int] | None = None,
) -> Pool:
    """The pool that `spec` describes, with the identity that its https backends are dialled with.

    begin  see `Setting`, as for take_number; None: anywhere, so that successors that are made again and again favour
           nobody

    Changes nothing in `previous`: new settings come into force with `start`.

    A backend of `previous` stays, with its live state, if the same endpoint text occurs again (the first for
    the first, the second for the second); so does one that left before and that exchanges still hold. Raises
    ConfigError for a policy that cannot be used.
    """
    watch = Watch() if previous is None else previous._watch
    kept = {} if previous is None else {backend.key: backend for backend in previous.backends}
    backends: list[Backend] = []
    for key, endpoint in zip(keys_of(spec.endpoints), spec.endpoints, strict=True):
        backend = kept.get(key) or watch.left(key)
        if backend is not None and backend.endpoint.server_name != endpoint.server_name:
            backend = None  # Its connections were verified for another name.
        backends.append(Backend(endpoint, key[1], watch) if backend is None else backend)
    setting = setting_of(spec, backends, rng, rng.random() if begin is None else begin, take_number)
    pool = Pool(spec, setting, find_policy(spec.policy, setting), watch, tls)
    if previous is not None:
        pool.queue = previous.queue
    return pool
