"""The active health checks of one `proxy` block while its properties are being read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from posthouse.caddyfile.lexer import Token
from posthouse.config.specs import CheckSpec, EndpointSpec, HealthSpec
from posthouse.directives.arguments import Rejected
from posthouse.errors import Notice

ASK, CONNECT = "health_check", "health_check_tcp"
"""The two properties that turn checks on."""
_PACE = ("interval", "timeout", "passes", "fails", "down_interval")
_OF_ANY = (CONNECT, "health_check_port", *(f"health_check_{name}" for name in _PACE))
"""Properties that mean something where nothing is asked."""


class HealthDraft:
    """What the `health_check*` properties have said so far; `finish` freezes it.

    spec  with the properties read so far, whether checks are on or not
    """

    def __init__(self) -> None:
        self.spec = HealthSpec(CheckSpec())
        self._given: dict[str, Token] = {}

    def note(self, name: Token) -> None:
        """A property was written there."""
        self._given[name.text] = name

    def finish(self) -> HealthSpec | None:
        """None if checks are off. Raises Rejected for properties that exclude each other."""
        if ASK in self._given and CONNECT in self._given:
            raise Rejected(
                self._given[CONNECT],
                f"`{CONNECT}` and `{ASK}` exclude each other: one only connects, the other also asks",
                "leave one of them out",
            )
        if not self.is_on:
            return None
        if self._asks and self.spec.check.method == "HEAD" and self.spec.check.contains:
            raise Rejected(
                self._given["health_check_contains"],
                "the answer to HEAD has no body, so `health_check_contains` would never be found in it",
            )
        return self.spec

    def notices(self, endpoints: Sequence[EndpointSpec]) -> list[Notice]:
        """What is used all the same, and is hardly meant."""
        return [Notice(token.place, message, token.width) for token, message in self._oddities(endpoints)]

    @property
    def _asks(self) -> bool:
        return bool(self.spec.check.path)

    @property
    def is_on(self) -> bool:
        """Whether there are checks."""
        return self._asks or CONNECT in self._given

    def _oddities(self, endpoints: Sequence[EndpointSpec]) -> Iterator[tuple[Token, str]]:
        if ASK in self._given and not self._asks:
            yield self._given[ASK], f"`{ASK}` without a path is off: there are no health checks"
        for name, token in self._given.items():
            if name == ASK:
                continue
            if not self.is_on:
                yield token, f"`{name}` does nothing without `{ASK}` or `{CONNECT}`"
            elif not self._asks and name not in _OF_ANY:
                yield token, f"`{name}` does nothing with `{CONNECT}`, which only connects"
        if not self.is_on:
            return
        spec, given = self.spec, self._given
        late = given.get("health_check_timeout") or given.get("health_check_interval")
        if late is not None and spec.timeout > spec.interval:
            yield (
                late,
                f"a check may take {spec.timeout:g}s (`health_check_timeout`), longer than the {spec.interval:g}s "
                "of `health_check_interval`: a backend that hangs is found out late",
            )
        if "health_check_port" in given:
            for one in endpoints:
                if one.unix:
                    yield given["health_check_port"], f"`health_check_port` does not act on `{one.text}`"
