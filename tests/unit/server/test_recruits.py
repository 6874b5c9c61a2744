"""Processes that will be workers: what they have of ours, and what becomes of those that nobody needs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from posthouse.server import recruits as module
from posthouse.server.handover import VARIABLE
from posthouse.server.recruits import PACKAGE_FOLDER, Recruits, enlist, environment


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_what_is_meant_for_the_supervisor_alone_is_not_passed_on() -> None:
    env = {"NOTIFY_SOCKET": "/x", "LISTEN_FDS": "1", VARIABLE: "7", "HOME": "/h", "PYTHONPATH": "/mine"}
    assert environment(env) == {"HOME": "/h", "PYTHONPATH": f"/mine{os.pathsep}{PACKAGE_FOLDER}"}
    assert (Path(PACKAGE_FOLDER) / "posthouse" / "server").is_dir()


def test_they_are_taken_in_order_and_who_is_left_is_sent_home() -> None:
    with Recruits() as made:
        made.enlist(3, os.environ)
        pids = [one.pid for one in made._waiting]
        first = made.take()
        assert first is not None and first.pid == pids[0] and is_there(first.pid)
    assert [is_there(pid) for pid in pids] == [True, False, False]
    assert made.take() is None
    first.dismiss()
    assert not is_there(first.pid)


@pytest.mark.parametrize(("end", "code"), [("close", 0), ("kill", -signal.SIGKILL)])
def test_its_end_is_waited_for(end: str, code: int) -> None:
    """One that hears no word any more ends by itself."""

    async def conversation() -> None:
        recruit = enlist(environment(os.environ))
        assert repr(recruit) == f"<Recruit pid={recruit.pid}>"
        waiting = asyncio.ensure_future(recruit.wait())
        await asyncio.sleep(0)
        if end == "kill":
            recruit.send_signal(signal.SIGKILL)
        recruit.connection.close()
        assert await waiting == code

    asyncio.run(asyncio.wait_for(conversation(), 60))


def test_one_that_cannot_be_started_is_left_to_who_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    made = Recruits()
    made.enlist(2, os.environ)
    assert made.take() is None
    with pytest.raises(FileNotFoundError):
        enlist(environment(os.environ))


def test_it_imports_little() -> None:
    """Who enlists has no time yet for an event loop."""
    code = f"import sys, {module.__name__}; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
