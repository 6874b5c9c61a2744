"""What one `proxy` block says of failures and retries, while its properties are being read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from posthouse.caddyfile.lexer import Token
from posthouse.config.specs import PassiveSpec, RetrySpec
from posthouse.directives.arguments import Rejected
from posthouse.errors import Notice

_OF_RETRIES: Final = ("retry_on", "retry_budget")
_OF_FAILURES: Final = ("unhealthy_status", "unhealthy_latency", "max_ejected")


class FailureDraft:
    """The specs with the properties read so far; `finish` judges them together."""

    def __init__(self) -> None:
        self.passive = PassiveSpec()
        self.retry = RetrySpec()
        self._given: dict[str, Token] = {}

    def note(self, name: Token) -> None:
        """A property was written there."""
        self._given[name.text] = name

    def finish(self) -> None:
        """Raises Rejected for properties that exclude each other."""
        token = self._given.get("try_duration")
        if token is not None and not self.retry.duration and (self.retry.count or 1) > 1:
            raise Rejected(
                token,
                f"`try_duration 0` is one attempt, and `try_count` asks for {self.retry.count}",
                "leave `try_duration` out: then only `try_count` limits the attempts",
            )

    def notices(self, backends: int, *, has_checks: bool) -> list[Notice]:
        """What is used all the same, and is hardly meant, in a pool of so many backends."""
        found = self._oddities(backends, has_checks)
        return [Notice(self._given[name].place, message, self._given[name].width) for name, message in found]

    def _oddities(self, backends: int, has_checks: bool) -> Iterator[tuple[str, str]]:
        passive, given = self.passive, self._given
        remembers = passive.fail_timeout > 0 or passive.breaker is not None
        if not self.retry.is_on:
            for name in given.keys() & set(_OF_RETRIES):
                yield name, f"`{name}` does nothing without `try_duration` or `try_count`"
        if not remembers:
            for name in _OF_FAILURES:
                if name in given:
                    yield name, f"`{name}` does nothing without `fail_timeout` or `breaker`"
        if passive.panic and not remembers and not has_checks:
            yield "panic", "`panic` does nothing where no backend is ever left out"
        if remembers and passive.max_ejected < 100 and int(backends * passive.max_ejected / 100) == 0:
            share = f"{passive.max_ejected:g}% of {backends}"
            yield (
                "max_ejected",
                f"{share} is less than one backend: none is ever left out because of failures",
            )
