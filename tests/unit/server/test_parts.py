"""The real parts are what a worker asks for; the type checker is the judge, this runs it past the compiler."""

from __future__ import annotations

from posthouse.observe.process_log import ProcessLog
from posthouse.server.parts import Parts
from posthouse.server.process import Process


def as_parts(process: Process) -> Parts:
    return process


def test_the_real_parts_fit() -> None:
    process = Process(ProcessLog(), "asyncio", lambda: None, is_case_sensitive=False)
    assert as_parts(process).load() is None
    process.loop.close()
