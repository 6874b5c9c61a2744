"""Command lines and results of the load programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.load import Answered, Chat, Load, command, read_result


@pytest.mark.parametrize(("seconds", "whole"), [(0.2, "1"), (1.0, "1"), (2.6, "3")])
def test_chat_runs_for_whole_seconds(tmp_path: Path, seconds: float, whole: str) -> None:
    argv = command(Chat(32, 128), 8080, seconds, tmp_path)
    assert argv[-5:] == ["benchmarks.chat", "8080", "32", whole, "128"]


def test_a_load_is_a_script_of_wrk() -> None:
    script = Load("/x", 1, "POST", 3, (("A", "b"),)).script()
    assert "wrk.method = 'POST'" in script
    assert "wrk.body = string.rep('p', 3)" in script
    assert "wrk.headers['A'] = 'b'" in script


def test_results_are_found_among_other_lines() -> None:
    line = 'RESULT {"requests": 5, "seconds": 1.5, "p50_us": 10, "p99_us": 20, "failed": 1}'
    assert read_result(f"Running 1s test\n\n{line}\n") == Answered(5, 1.5, 10, 20, 1)


def test_no_result() -> None:
    assert read_result("unable to connect\n") is None
