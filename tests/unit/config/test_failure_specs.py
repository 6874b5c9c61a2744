"""What is on, and what it means, before a line of it is written."""

from __future__ import annotations

import pytest

from posthouse.config import failure_specs, specs
from posthouse.config.specs import PassiveSpec, RetrySpec


@pytest.mark.parametrize(
    ("spec", "is_on"),
    [
        (RetrySpec(), False),
        (RetrySpec(duration=0.001), True),
        (RetrySpec(count=1), False),
        (RetrySpec(count=2), True),
        (RetrySpec(duration=1.0, count=1), True),
    ],
)
def test_whether_there_is_a_second_attempt(spec: RetrySpec, is_on: bool) -> None:
    assert spec.is_on is is_on


def test_statuses_among_the_kinds() -> None:
    assert RetrySpec().statuses == frozenset()
    assert RetrySpec(kinds=("connect", "502", "504")).statuses == {502, 504}


def test_defaults_leave_everything_as_it_was_in_v1() -> None:
    passive = PassiveSpec()
    assert not (
        passive.fail_timeout or passive.statuses or passive.latency or passive.panic or passive.breaker
    )
    assert (passive.max_fails, passive.max_ejected) == (1, 100.0)
    assert not RetrySpec().is_on and not RetrySpec().all_methods


def test_all_of_them_are_among_the_specs() -> None:
    own = {name for name in vars(failure_specs) if name.endswith("Spec")}
    assert own and all(getattr(specs, name) is getattr(failure_specs, name) for name in own)
