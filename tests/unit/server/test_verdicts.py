"""What it means how a worker answered, or how it ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from posthouse.errors import NOWHERE, ConfigError, Mistake, StartError
from posthouse.server.control import Prepared, Refused
from posthouse.server.verdicts import ended, judge, obituary


def test_an_answer_is_an_exception_or_good() -> None:
    judge(Prepared(1))
    mistakes = (Mistake(NOWHERE, "a"), Mistake(NOWHERE, "b"))
    with pytest.raises(ConfigError) as caught:
        judge(Refused(1, mistakes))
    assert caught.value.mistakes == mistakes, "all of them"
    with pytest.raises(StartError, match="no such folder"):
        judge(Refused(1, reason="no such folder"))
    with pytest.raises(ZeroDivisionError):
        judge(ZeroDivisionError())


def test_how_a_process_ended() -> None:
    assert (ended(-9), ended(3)) == ("signal 9", "exit code 3")
    child = cast(Any, SimpleNamespace(slot=2, trouble=""))
    assert obituary(child, -9, 3) == "worker 2 ended 3 times before it served: signal 9"
    child.trouble = "it says nonsense"
    assert obituary(child, 0, 3).endswith("served: it says nonsense")
