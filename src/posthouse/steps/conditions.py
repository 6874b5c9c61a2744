"""Conditions: the `if` lines of `rewrite` and `redir`, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.config.patterns import Pattern
from posthouse.config.step_specs import ConditionSpec, ConditionsSpec
from posthouse.observe.placeholders import Expand, compile_template
from posthouse.observe.record import Subject

_Test = Callable[[Subject], bool]

_COMPARE: Final[dict[str, Callable[[str, str], bool]]] = {
    "is": lambda left, right: left == right,
    "not": lambda left, right: left != right,
    "has": lambda left, right: right in left,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}


class Conditions:
    """Whether the rule of a block applies to a request. Without any `if` it does."""

    __slots__ = ("_is_any", "_tests")

    def __init__(self, spec: ConditionsSpec) -> None:
        self._tests = [_compiled(one) for one in spec.all]
        self._is_any = spec.is_any

    def hold(self, subject: Subject) -> bool:
        """Whether all of them are true, or one of them where `if_op or` says so."""
        if not self._tests:
            return True
        verdicts = (test(subject) for test in self._tests)
        return any(verdicts) if self._is_any else all(verdicts)


def wire_text(text: str) -> str:
    """Text of the configuration so that encoding it as latin-1 gives its bytes."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _expand(text: str) -> Expand:
    return compile_template(wire_text(text), "").expand


def _compiled(spec: ConditionSpec) -> _Test:
    op = spec.op.removeprefix("not_")
    expected = op == spec.op
    left = _expand(spec.left)
    if op == "match":
        matches = Pattern(spec.right).matches
        # What a placeholder yields is wire text: each character is one byte.
        return lambda subject: matches(left(subject).encode("latin-1", "replace")) is expected
    right, compare = _expand(spec.right), _COMPARE[op]
    return lambda subject: compare(left(subject), right(subject)) is expected
