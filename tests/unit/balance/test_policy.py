"""The two contracts of a policy, as far as a type checker cannot prove them."""

from __future__ import annotations

import pytest

from posthouse.balance.policies import POLICIES
from posthouse.balance.policy import Choice, Policy
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import Request


def test_choices_of_the_tests_are_choices() -> None:
    choices: list[Choice] = [SampleChoice(1), Request()]
    assert [choice.peer for choice in choices] == ["10.0.0.1", "192.0.2.1"]


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_says_how_it_is_written(name: str) -> None:
    policy: type[Policy] = POLICIES[name]
    least, most = policy.arguments
    words = policy.usage.split()
    assert words[0] == name
    assert least == len([word for word in words[1:] if not word.startswith("[")])
    assert most == len(words) - 1
