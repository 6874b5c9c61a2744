from __future__ import annotations

import pytest

from posthouse.config.step_specs import ConditionSpec, ConditionsSpec
from posthouse.steps.conditions import Conditions, wire_text
from unit.steps.fake_visit import FakeVisit

VISIT = FakeVisit("/Shop/a%20b.PHP?x=1&name=J%C3%BCrg", {"User-Agent": "Some mobile thing", "X-Empty": ""})


def holds(*all_: tuple[str, str, str], is_any: bool = False) -> bool:
    conditions = Conditions(ConditionsSpec(tuple(ConditionSpec(*one) for one in all_), is_any))
    return conditions.hold(VISIT)


@pytest.mark.parametrize(
    ("left", "op", "right", "expected"),
    [
        ("{path}", "is", "/Shop/a b.PHP", True),
        ("{path}", "is", "/shop/a b.PHP", False),
        ("{path}", "not", "/shop/a b.PHP", True),
        ("{>User-Agent}", "has", "mobile", True),
        ("{>User-Agent}", "has", "Mobile", False),
        ("{path}", "starts_with", "/Shop/", True),
        ("{path}", "starts_with", "Shop/", False),
        ("{path}", "ends_with", ".PHP", True),
        ("{path}", "ends_with", ".php", False),
        ("{path}", "match", r"\.(?i:php)$", True),
        ("{path}", "match", "^Shop", False),
        ("{>X-None}", "is", "", True),
        ("{>X-Empty}", "is", "", True),
        ("{?x}", "is", "{?x}", True),
        ("{?name}", "is", "Jürg", True),
        ("{?name}", "match", "^J.rg$", False),
        ("{?name}", "match", "^Jü", True),
        ("{?x}", "match", "{?x}", False),
    ],
)
def test_each_condition_and_its_opposite(left: str, op: str, right: str, expected: bool) -> None:
    assert holds((left, op, right)) is expected
    assert holds((left, f"not_{op}", right)) is not expected


YES, NO = ("{method}", "is", "GET"), ("{method}", "is", "POST")


def test_and_is_all_or_is_any() -> None:
    assert holds(YES, YES) and not holds(YES, NO) and not holds(NO, YES)
    assert holds(YES, NO, is_any=True) and holds(NO, YES, is_any=True) and not holds(NO, NO, is_any=True)


def test_no_condition_holds_whatever_the_word_between_them() -> None:
    assert holds() and holds(is_any=True)


def test_text_of_the_configuration_becomes_bytes() -> None:
    assert wire_text("ü").encode("latin-1") == "ü".encode()
