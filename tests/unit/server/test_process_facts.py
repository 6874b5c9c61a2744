"""Compared with what the system says in another way."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from posthouse.observe.families import FAMILIES
from posthouse.server import process_facts
from posthouse.server.process_facts import process_rows


def number(name: str) -> float:
    value = process_rows()[name][()]
    assert isinstance(value, int | float)
    return value


def test_all_families_of_a_process_are_there() -> None:
    assert set(process_rows()) == {name for name in FAMILIES if name.startswith("process_")}


def test_a_descriptor_that_is_opened_is_counted() -> None:
    before = number("process_open_fds")
    with open(os.devnull) as _:
        assert number("process_open_fds") == before + 1
    assert number("process_open_fds") == before
    assert number("process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_memory_is_that_of_status() -> None:
    status = Path("/proc/self/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024
    assert number("process_resident_memory_bytes") == pytest.approx(resident, rel=0.2)


def test_the_clock_of_the_processor_only_rises() -> None:
    before = number("process_cpu_seconds_total")
    assert before > 0
    assert number("process_cpu_seconds_total") >= before


def test_we_started_before_now_and_not_long_ago() -> None:
    assert time.time() - 86400 < number("process_start_time_seconds") <= time.time() + 1


def test_a_system_without_proc_has_less(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise FileNotFoundError("/proc/self/stat")

    monkeypatch.setattr(process_facts, "_stat", fail)
    assert set(process_rows()) == {"process_cpu_seconds_total", "process_max_fds"}
