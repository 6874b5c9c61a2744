"""`on startup`, `on shutdown` and their short forms, in a process that serves."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import Posthouse, ScriptedBackend, get

Start = Callable[..., Posthouse]

CADDYFILE = """
http://127.0.0.1:PORT {
    bind 127.0.0.1
    proxy / BACKEND
    startup sh -c "echo $WORD >> story; echo to stderr"
    startup "sh -c 'echo $$ > background; exec sleep 60' &"
    on startup sh -c "echo second >> story"
    on shutdown sh -c "echo third >> story"
}
"""


@pytest.fixture(params=["uvloop", "asyncio"])
def each_loop(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that forces one kind of event loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    return {"POSTHOUSE_LOOP": request.param}


def test_from_the_first_start_to_the_end(
    start_posthouse: Start, backend: ScriptedBackend, each_loop: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "env").write_text("WORD=first\n")
    running = start_posthouse(
        CADDYFILE, BACKEND=backend.address, env=each_loop, arguments=("--env-file", str(tmp_path / "env"))
    )
    story = running.directory / "story"
    before, _, _ = running.stderr().partition("ready: ")
    assert story.read_text() == "first\nsecond\n", "before the ready line"
    assert "to stderr\n" in before
    running.reload(CADDYFILE.replace("third", "fourth"))
    running.wait_stderr(" INFO reloaded ")
    assert get(running.port, host="127.0.0.1").status == 200
    assert story.read_text() == "first\nsecond\n", "at the first start only"
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert story.read_text() == "first\nsecond\nfourth\n", "what the last configuration says"
    child = int((running.directory / "background").read_text())
    command = Path(f"/proc/{child}/cmdline").read_bytes()
    assert command == b"sleep\x0060\x00", "in the background it outlives us"
    subprocess.run(["kill", str(child)], check=True)


def test_a_failing_command_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(":0\nstartup sh -c `exit 3`\n")
    command = [sys.executable, "-m", "posthouse", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-4:] == [
        "Caddyfile:2:9: the startup command `sh` ended with exit code 3",
        "  2 | startup sh -c `exit 3`",
        "    |         ^^",
        "posthouse: 1 mistake in Caddyfile",
    ]


def test_a_stop_during_a_startup_command_ends_both(tmp_path: Path, each_loop: dict[str, str]) -> None:
    (tmp_path / "Caddyfile").write_text(":0\nstartup sh -c `kill -TERM $PPID; exec sleep 60`\n")
    command = [sys.executable, "-m", "posthouse", "run"]
    done = subprocess.run(
        command, cwd=tmp_path, env=each_loop, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, "ready: " in done.stderr) == (0, False)
    assert done.stderr.endswith(" INFO stopped cut=0\n")
