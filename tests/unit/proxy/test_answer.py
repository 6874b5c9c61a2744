"""Answers are values; whoever makes one decides nothing else."""

from __future__ import annotations

import pytest

from posthouse.protocol.fields import Field
from posthouse.proxy.answer import WAIT, Answer, Wait


def test_an_answer_is_a_value() -> None:
    field = Field(b"Location", b"/x")
    assert Answer(301, (field,)) == Answer(301, (field,))
    assert Answer(301) != Answer(302)
    with pytest.raises(AttributeError):
        Answer(301).status = 302  # type: ignore[misc]


def test_waiting_is_neither_an_answer_nor_going_on() -> None:
    assert isinstance(WAIT, Wait)
    assert WAIT is not None
    assert repr(WAIT) == "<WAIT>"
