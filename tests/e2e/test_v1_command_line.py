"""An old unit file: v1's flags and lines of a Caddyfile go to a process that serves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import Posthouse, ScriptedBackend, get


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("v1")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Posthouse]:
    """Lines in place of a file, and flags with one dash and two."""
    with ScriptedBackend() as backend:
        words = (
            *("-port", "PORT", "--host=b.test", "-agree", "-log", "stdout", "-grace", "5s"),
            *("-pidfile", str(folder / "pid"), "proxy / BACKEND", "log access.log"),
        )
        with Posthouse("", words=words, BACKEND=backend.address) as started:
            yield started


def test_lines_are_served_on_the_host_and_port_of_the_flags(running: Posthouse) -> None:
    port = running.named_port()
    assert get(port, host="b.test").body == b"ok"
    assert get(port, host="c.test").status == 404
    assert len(running.wait_access(1)) == 1


def test_what_has_no_effect_is_one_line_and_the_process_log_is_where_it_was(running: Posthouse) -> None:
    *warnings, ready = running.stderr().splitlines()
    assert warnings == [
        "posthouse: warning: -agree has no effect: no certificates are ordered in this release"
    ]
    assert ready.startswith("ready: http://")
    assert " INFO started " in running.stdout()


def test_pidfile(running: Posthouse, folder: Path) -> None:
    assert int((folder / "pid").read_text()) == running.pid


def posthouse(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "posthouse", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)


def test_a_mistake_in_a_line_has_its_number_and_is_underlined(folder: Path) -> None:
    done = posthouse("proxy / localhost:9000 {", "polcy first", "}", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "arguments:2:1: unknown property `polcy` of `proxy`",
        "  2 | polcy first",
        "    | ^^^^^",
        "  hint: did you mean `policy`?",
        "posthouse: 1 mistake in arguments",
    ]


def test_validate_as_an_old_deploy_script_calls_it(folder: Path) -> None:
    (folder / "Caddyfile").write_text(":80\nproxy / localhost:9000\n")
    assert posthouse("-validate", "-conf", "Caddyfile", cwd=folder).stdout == "Caddyfile is valid\n"
