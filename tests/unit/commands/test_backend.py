"""`posthouse backend`: which words it takes, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.admin import client
from posthouse.commands.backend import ACTS, COMMAND, describe
from posthouse.commands.command_line import UsageError
from posthouse.server import ordering

REPORT = {
    "pool": "p",
    "backend": "http://a:1",
    "order": None,
    "weight": None,
    "changed": True,
    "unconfirmed": 0,
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []

    def ask(path: str, method: str, target: str) -> tuple[int, dict[str, Any]]:
        found.append((path, method, target))
        if "nobody" in target:
            return 422, {"error": "there is no pool 'nobody'", "hint": "body", "candidates": ["body", "p"]}
        return 200, {**REPORT, "order": "drain"}

    monkeypatch.setattr(client, "ask", ask)
    return found


def test_it_knows_the_orders_that_are_obeyed() -> None:
    assert set(ACTS) == set(map(str, ordering.ACTS))


def test_asks(asked: list[tuple[str, str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run(["drain", "--admin", "/s", "a.test /x", "http://a:1#2"]) == 0
    assert COMMAND.run(["weight", "p", "a:1", "default", "--admin=/s", "--json"]) == 0
    assert asked == [
        ("/s", "POST", "/backend?order=drain&pool=a.test+%2Fx&backend=http%3A%2F%2Fa%3A1%232"),
        ("/s", "POST", "/backend?order=weight&pool=p&backend=a%3A1&weight=default"),
    ]
    line, *report = capsys.readouterr().out.splitlines()
    assert line == "http://a:1 of p: draining by order" and '  "order": "drain",' in report


def test_says_what_there_is(asked: list[tuple[str, str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run(["drain", "nobody", "a:1", "--admin", "/s"]) == 1
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "posthouse: there is no pool 'nobody' (did you mean body?)",
        "  body",
        "  p",
    ]
    assert not told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which order"),
        (["drian", "p", "b"], r"there is no order 'drian' \(did you mean drain\?\)"),
        (["drain", "p"], "needs a pool and a backend"),
        (["drain", "p", "b", "5"], "too many words for `backend drain`: '5'"),
        (["weight", "p", "b"], "expected a weight from 1 to 1000, or default$"),
        (["weight", "p", "b", "0"], "found '0'"),
        (["weight", "p", "b", "1001"], "found '1001'"),
        (["weight", "p", "b", "5", "6"], "too many words"),
    ],
)
def test_wrong_words(asked: list[tuple[str, str, str]], words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        COMMAND.run([*words, "--admin", "/s"])
    assert not asked


def test_for_a_person() -> None:
    assert describe({**REPORT, "order": "disable", "weight": 5}) == [
        "http://a:1 of p: disabled by order, weight 5 by order"
    ]
    assert describe({**REPORT, "changed": False, "unconfirmed": 2}) == [
        "http://a:1 of p: not kept back by order (as before)",
        "2 workers have not confirmed it yet: obeyed as soon as they answer again",
    ]
