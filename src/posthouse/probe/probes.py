"""Probes: the checks of the generation that serves. They outlive it, so that a reload disturbs no check that stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from posthouse.balance.active_health import ActiveHealth, Belief, State, first_pause
from posthouse.balance.backend import Backend
from posthouse.probe.check import Check
from posthouse.probe.ports import Services
from posthouse.probe.prober import Last, Prober, tell_change


class Probes:
    """All probers, by backend."""

    __slots__ = ("_expected", "_probers", "_services")

    def __init__(self, services: Services) -> None:
        self._services = services
        self._probers: dict[Backend, Prober] = {}
        self._expected: Mapping[tuple[str, str], Belief] = {}

    def __repr__(self) -> str:
        return f"<Probes of {len(self._probers)} backends>"

    def __len__(self) -> int:
        return len(self._probers)

    def expect(self, beliefs: Mapping[tuple[str, str], Belief]) -> None:
        """What another process has found, by the names of pool and backend: the checks that begin next go on from it.

        Only those: whoever comes later would get what was true of a backend of that name once.
        """
        self._expected = beliefs

    def beliefs(self) -> dict[tuple[str, str], Belief]:
        """Of backends that are not up, for `expect`."""
        return {
            (prober.check.pool, backend.name): Belief(
                prober.health.state,
                backend.reason,
                self._services.clock() if backend.since is None else backend.since,
            )
            for backend, prober in self._probers.items()
            if prober.health.state is not State.UP
        }

    def change(self, gone: Iterable[Backend], came: Iterable[Check]) -> None:
        """These checks begin, those of `gone` end; a backend may be in both. O(those).

        An equal one goes on as if nothing had happened. One of which only the pace has changed begins anew with what
        was found before. Of a backend that is asked something else, or nothing any more, nothing is known: it is up.
        """
        wanted = {check.backend: check for check in came}
        probers = self._probers
        old = {backend: probers[backend] for backend in dict.fromkeys([*gone, *wanted]) if backend in probers}
        fresh: list[Prober] = []
        for backend, check in wanted.items():
            prober = old.get(backend)
            if prober is not None and prober.check == check:
                del old[backend]
                continue
            is_same = prober is not None and prober.check.asks_the_same(check)
            health = prober.health if prober is not None and is_same else self._first(check)
            fresh.append(Prober(check, self._services, health))
            if prober is not None and is_same:
                fresh[-1].last = prober.last
        for backend, prober in old.items():
            prober.stop()
            del probers[backend]
        for prober in fresh:
            probers[prober.check.backend] = prober
            prober.start(first_pause(prober.check.spec, len(fresh), self._services.chance()))
        self._forget(old)
        if wanted:
            self._expected = {}

    def _first(self, check: Check) -> ActiveHealth:
        backend = check.backend
        belief = self._expected.get((check.pool, backend.name))
        if belief is None:
            return ActiveHealth()
        backend.believe(belief.state, belief.reason, belief.since)
        self._services.believed(check)
        return ActiveHealth(belief.state)

    def last(self, backend: Backend) -> Last | None:
        """The last check of a backend; None if it is not checked, or not yet."""
        prober = self._probers.get(backend)
        return prober.last if prober is not None else None

    def stop(self) -> None:
        """No more probes. What was found stays believed."""
        for prober in self._probers.values():
            prober.stop()
        self._probers.clear()

    def _forget(self, old: dict[Backend, Prober]) -> None:
        """What was found by checks that are no more is believed no longer."""
        for backend, prober in old.items():
            now = self._probers.get(backend)
            before = prober.health.state
            if before is State.UP or (now is not None and now.health is prober.health):
                continue
            reason = "no longer checked" if now is None else "asked something else from now on"
            backend.believe(State.UP, reason, self._services.clock())
            self._services.believed(prober.check)
            if now is not None:  # without a check it may well have left the pool
                tell_change(self._services.log, now.check, before, reason)
