from __future__ import annotations

import pytest

from posthouse.proxy.answer import Answer
from posthouse.steps.internal import Internal
from unit.steps.fake_visit import FakeVisit

STEP = Internal(["/internal", "/files/"])


@pytest.mark.parametrize(
    "target", ["/internal", "/internal/x", "/InternalX", "/files/", "/%66iles/a", "//files//a"]
)
def test_from_outside_it_is_not_there(target: str) -> None:
    assert STEP.act(FakeVisit(target)) == Answer(404)


@pytest.mark.parametrize("target", ["/", "/files", "/x/internal"])
def test_the_rest_goes_on(target: str) -> None:
    assert STEP.act(FakeVisit(target)) is None
