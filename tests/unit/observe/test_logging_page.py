"""docs/logging.md tells the truth: its keys, placeholders and examples are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from posthouse.errors import FailureKind
from posthouse.observe import placeholders
from posthouse.observe.access_lines import compile_line
from unit.observe.fake_subject import FakeSubject

PAGE = (Path(__file__).parents[3] / "docs" / "logging.md").read_text()
EXAMPLE = FakeSubject(
    site=":8080",
    target=b"/api/items?page=2",
    host="www.example.org:8080",
    client_ip="192.0.2.7",
    request_id="",
    user="",
    fields={b"user-agent": b'say "hi"'},
)


def without_zone(line: str) -> str:
    """The line without its local time: the page shows UTC, the machine may be elsewhere."""
    return re.sub(r"\[.*?\]", "[]", line)


@pytest.mark.parametrize("format", ["common", "combined", "json"])
def test_the_example_lines_are_real(format: str) -> None:
    line = compile_line(format)(EXAMPLE).decode().rstrip("\n")
    assert without_zone(line) in {without_zone(shown) for shown in PAGE.splitlines()}


def test_the_json_keys_are_all_there_in_their_order() -> None:
    table = PAGE.partition("| key | type | value |")[2].partition("\n\n")[0]
    shown = re.findall(r"^\| `(\w+)` \| (\w+) ", table, re.MULTILINE)
    values = json.loads(compile_line("json")(EXAMPLE))
    assert [name for name, _ in shown] == list(values)
    assert [kind == "number" for _, kind in shown] == [isinstance(value, int) for value in values.values()]


def test_every_placeholder_has_its_row() -> None:
    table = PAGE.partition("| placeholder | value |")[2]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    shown = set(re.findall(r"`\{([a-z_]+)\}`", " ".join(rows)))
    known = {
        *placeholders._CONSTANTS,
        *placeholders._ELAPSED,
        *placeholders._URL_PARTS,
        *placeholders._VALUES,
    }
    assert shown - known == {"request_body", "tls_protocol", "tls_cipher"}
    assert known <= shown


def test_the_failure_kinds_are_all_there() -> None:
    section = PAGE.partition("### Failure kinds")[2].partition("\n#")[0]
    assert re.findall(r"`(\w+)`", section) == [kind.value for kind in FailureKind]
