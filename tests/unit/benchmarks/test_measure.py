"""From rows to what proxies are asked, from rounds to medians, from figures to the exit status."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.__main__ import is_incomplete
from benchmarks.measure import DID_NOT_START, LACKS, Round, medians, setup_for
from benchmarks.rows import ROWS, Row

FOLDER = Path("/run/bench")


def round_of(cpu_us: float, failed: int) -> Round:
    """A round in which only these two matter."""
    return Round(100, failed, cpu_us, 1.0, 1.0, 50.0, 1.0, 2.0, 20.0, 0.9)


def test_medians_are_of_each_figure_but_failures_add_up() -> None:
    found = medians([round_of(30.0, 1), round_of(10.0, 0), round_of(20.0, 2)])
    assert (found["cpu_us"], found["failed"]) == (20.0, 3.0)


def test_names_of_rows_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_proxy_is_asked_for_what_the_row_is_about(row: Row) -> None:
    setup = setup_for(row, FOLDER, 9000, "nginx")
    asked = {
        "log": setup.access_log == FOLDER / "nginx.access",
        "rules": setup.has_rules,
        "static": setup.root == FOLDER / "www",
        "tls": setup.is_tls,
    }
    assert {name for name, is_asked in asked.items() if is_asked} == ({row.asks} if row.asks else set())
    assert setup.is_upgraded == (row.name == "ws")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"median": {"failed": 0.0}}, False),
        ({"median": {"failed": 1.0}}, True),
        ({"median": {"kept": 1000}}, False),
        ({"missing": LACKS}, False),
        ({"missing": DID_NOT_START}, True),
    ],
)
def test_what_was_not_measured_or_failed_shows_in_the_exit_status(
    found: dict[str, object], expected: bool
) -> None:
    assert is_incomplete({"small": {"nginx": found}}) is expected
