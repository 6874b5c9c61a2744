"""Claims: how a pool chooses where other workers use the same backends.

Laws:
1. A backend with `max_conns` is held only after a claim in the group: so the limit holds for all workers together.
2. A place is not taken before those who have waited longer, in whichever worker (`seniority`).
3. Nobody is told that everything is full without a look at what the others hold now.
4. Of a backend that is only tried, what others try is looked up, and a trial is begun only after a claim.
5. Where failures count, nobody gets a backend without a look at what the others have seen of it: a client that was
   told of a failure may come back at once, to another worker.

What the others hold is looked up before each choice; in pools of more than LOOK_AT_ALL backends at most every
LOOK_SECONDS, since that costs O(n), and not at all where neither a limit nor the policy asks for it. What is held here
is published always (`holding`): that costs next to nothing, and a limit may come with any reload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from weakref import ref

from posthouse.balance.backend import Backend
from posthouse.balance.group import Group
from posthouse.balance.health import NEVER
from posthouse.balance.policy import Choice
from posthouse.balance.watch import Watch

if TYPE_CHECKING:
    from posthouse.balance.pool import Pool

LOOK_AT_ALL: Final = 64
LOOK_SECONDS: Final = 0.05


class Claims:
    """One pool's.

    is_deferring  whether the last claim found something free, and left it to somebody who has waited longer
    """

    __slots__ = (
        *("_counts_failures", "_has_limit", "_is_asked_for", "_looked", "_pause", "_pool", "_watch"),
        *("group", "is_deferring"),
    )

    def __init__(self, pool: Pool, group: Group, watch: Watch, *, uses_load: bool) -> None:
        """uses_load: whether the policy asks what backends hold"""
        spec = pool.spec
        limits = [spec.max_conns if one.max_conns is None else one.max_conns for one in spec.endpoints]
        # Weak, so that a pool is free as soon as nobody uses it: what is in a cycle may wait for the garbage collector
        # for hundreds of reloads, and what is frozen (`server/memory.py`) for ever.
        self._pool = ref(pool)
        self._watch = watch
        self.group = group
        self._has_limit = any(limits)
        self._is_asked_for = self._has_limit or uses_load
        self._counts_failures = spec.passive.fail_timeout > 0 or spec.passive.breaker is not None
        self._pause = 0.0 if len(pool.backends) <= LOOK_AT_ALL else LOOK_SECONDS
        self._looked = -NEVER
        self.is_deferring = False

    def __repr__(self) -> str:
        pool = self._pool()
        return f"<Claims of {pool.name if pool is not None else None!r}>"

    def start(self) -> None:
        """The pool serves from now on: what its backends hold is published, and what waits."""
        pool = self._pool()
        assert pool is not None
        self._watch.is_limited = self._has_limit
        for backend, place in zip(pool.backends, self.group.places, strict=True):
            backend.join(place)
            if not self._is_asked_for:  # or else what was looked up last would be there for ever
                backend.see(0)
        self._watch.budget.share(self.group.line.sheet)
        pool.queue.share(self.group.line, pool, self.has_free)

    def claim(
        self, choice: Choice, now: float, tried: Sequence[Backend] = (), since: float = NEVER
    ) -> Backend | None:
        """`Pool.select` for an exchange that holds the backend in the same call (`Pool.acquire`).

        since  when it began to wait, if it does
        """
        pool = self._pool()
        assert pool is not None
        if self._counts_failures:
            self.group.catch_up()
        if self._watch.trying:
            for backend_on_trial in tuple(self._watch.trying):
                backend_on_trial.look_again()
        # Also a limit that came after this pool, whose exchanges may still begin an attempt.
        has_limit = self._has_limit or self._watch.is_limited
        if not has_limit:
            self.is_deferring = False
            if self._is_asked_for:
                self._look_in_time(pool, now)
            backend = pool.select(choice, now, tried)
            return backend if not self._watch.trying else self._take(pool, backend, choice, now, tried)
        if since == NEVER and len(pool.queue):
            pool.queue.wake()  # What they leave to others must not go to who comes now, when those are there no more.
        self.is_deferring = False
        has_looked = self._look_in_time(pool, now)
        backend = pool.select(choice, now, tried)
        if backend is None and not has_looked:
            self._look(pool)
            backend = pool.select(choice, now, tried)
        seniority = pool.queue.seniority
        if backend is None:
            if seniority is not None:
                seniority.settle()
            return None
        if seniority is not None and backend.max_conns and seniority.comes_after(since, now):
            self.is_deferring = True
            return None
        return self._take(pool, backend, choice, now, tried)

    def _take(
        self, pool: Pool, backend: Backend | None, choice: Choice, now: float, tried: Sequence[Backend]
    ) -> Backend | None:
        """That one, or another if others were quicker."""
        while backend is not None and not backend.claim():
            backend = pool.select(choice, now, tried)
        return backend

    def _look_in_time(self, pool: Pool, now: float) -> bool:
        """Whether it was time to look."""
        if now < self._looked + self._pause:
            return False
        self._looked = now
        self._look(pool)
        return True

    def _look(self, pool: Pool) -> None:
        for backend, others in zip(pool.backends, self.group.others(), strict=True):
            if others != backend.others:
                backend.see(others)

    def has_free(self) -> bool:
        """Whether a backend can be used, by what the others hold now."""
        pool = self._pool()
        if pool is None:
            return False
        self._look(pool)
        return pool.has_usable()
