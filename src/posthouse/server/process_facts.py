"""What the operating system says of this process: memory, CPU, descriptors, start."""

from __future__ import annotations

import os
import resource
from typing import Final

from posthouse.observe.snapshot import Rows

_STARTED, _RESIDENT = 21, 23
"""Fields of /proc/self/stat (proc(5) counts from 1 and the text here begins behind the second): see `_stat`."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def process_rows() -> dict[str, Rows]:
    """The families that every exporter has (`process_…`). Where the system has no /proc, those it tells without."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    rows: dict[str, Rows] = {
        "process_cpu_seconds_total": {(): usage.ru_utime + usage.ru_stime},
        "process_max_fds": {(): _most_descriptors()},
    }
    try:
        stat = _stat()
        rows["process_resident_memory_bytes"] = {(): int(stat[_RESIDENT]) * _PAGE}
        rows["process_start_time_seconds"] = {(): _boot_time() + int(stat[_STARTED]) / _TICKS}
        # One of them is the folder that is being listed.
        rows["process_open_fds"] = {(): len(os.listdir("/proc/self/fd")) - 1}
    except OSError:
        return rows
    return rows


def _most_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft >= 0 else 1 << 31


def _stat() -> list[str]:
    """Fields by their number in proc(5), less one."""
    with open("/proc/self/stat", encoding="latin-1") as file:
        text = file.read()
    # The name of the program, in brackets, may hold anything.
    return ["", "", *text[text.rindex(")") + 2 :].split()]


def _boot_time() -> int:
    """Seconds since 1970."""
    with open("/proc/stat", encoding="latin-1") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("btime "))
