"""docs/compatibility.md: each line names the test that holds it, and the test is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
LATER = "not in this release"
HEADING = ["v1", "Posthouse", "test"]
CITED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


LINES = [cells(line) for line in PAGE.splitlines() if line.startswith("|") and not line.startswith("|---")]
ROWS = [row for row in LINES if row != HEADING]


@cache
def defined_in(file: str) -> frozenset[str]:
    """The test functions that a file defines."""
    path = ROOT / file
    body = ast.parse(path.read_text()).body if path.exists() else []
    found = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(name for name in found if name.startswith("test_"))


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:50] for row in ROWS])
def test_each_line_names_its_test(row: list[str]) -> None:
    before, now, held_by = row
    assert before and now
    cited = CITED.findall(held_by)
    if held_by == LATER:
        return
    assert cited, f"{held_by!r} is neither a test nor {LATER!r}"
    assert CITED.sub("", held_by).strip() == "", "nothing but tests"
    missing = [f"{file}::{name}" for file, name in cited if name not in defined_in(file)]
    assert not missing


def test_every_table_has_the_same_columns() -> None:
    assert {len(row) for row in LINES} == {3}
    assert LINES.count(HEADING) == PAGE.count("\n## ") > 8


def test_tests_named_in_the_text_are_there_too() -> None:
    missing = [f"{file}::{name}" for file, name in CITED.findall(PAGE) if name not in defined_in(file)]
    assert not missing
