"""docs/logging.md tells the truth: its keys, placeholders and examples are those of the code."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from posthouse.errors import FailureKind
from posthouse.observe import placeholders
from posthouse.observe.access_lines import compile_line
from posthouse.observe.access_log import FLUSH_BYTES
from posthouse.observe.error_log import error_line
from posthouse.observe.output import KEPT
from posthouse.observe.syslog_output import LONGEST_MESSAGE, LONGEST_PAUSE, Daemon, SyslogOutput
from unit.observe.fake_subject import WALL, FakeSubject

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
        *placeholders._OF_TLS,
        *placeholders._URL_PARTS,
        *placeholders._VALUES,
    }
    assert shown == known


def test_the_failure_kinds_are_all_there() -> None:
    section = PAGE.partition("### Failure kinds")[2].partition("\n#")[0]
    assert re.findall(r"`(\w+)`", section) == [kind.value for kind in FailureKind]


def test_the_example_of_an_error_is_real() -> None:
    cause = "http://127.0.0.1:9000: connect: Connection refused"
    line = error_line(502, "/api/items", cause, WALL).decode()
    assert line[26:] in {shown[26:] for shown in PAGE.splitlines()}


def test_the_example_of_a_message_is_real() -> None:
    output = SyslogOutput("syslog", Daemon("udp", "127.0.0.1", 514), wall=lambda: WALL)
    [shown] = [line for line in PAGE.splitlines() if line.startswith("<")]
    head = output._head().decode()
    output.close(0.0)
    named = head.replace(f" {os.uname().nodename} ", " web1 ").replace(f" {os.getpid()} ", " 4711 ")
    assert shown.startswith(named)


def test_the_defaults_of_rotation() -> None:
    table = PAGE.partition("| property | default | |")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"^\| `(\w+).*?` \| (\w+) \|", table, re.MULTILINE))
    assert shown == {
        "rotate_size": "100",
        "rotate_age": "14",
        "rotate_keep": "10",
        "rotate_compress": "off",
        "rotate_disable": "off",
    }
    # config/specs.py has the same; this package does not import it.


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        ("A message is cut at {} KiB", LONGEST_MESSAGE >> 10),
        ("when there are {} KiB of them", FLUSH_BYTES >> 10),
        ("kept up to {} MiB and sent when it is back", KEPT >> 20),
        ("up to {} MiB of lines is kept", KEPT >> 20),
        ("at most {}s)", int(LONGEST_PAUSE)),
    ],
)
def test_numbers(sentence: str, number: int) -> None:
    assert sentence.format(number) in " ".join(PAGE.split())
