"""The container file says what is true of Posthouse; building an image needs an engine that tests don't have."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from posthouse.cli import main
from posthouse.commands import COMMANDS
from posthouse.server.signals import table

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "contrib" / "Containerfile").read_text()
LINES = re.sub(r"\\\n", "", re.sub(r"(?m)^#.*\n", "", TEXT)).splitlines()


def values(instruction: str) -> list[str]:
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{instruction} ")]


def test_the_command_and_the_health_check_are_ours(capsys: pytest.CaptureFixture[str]) -> None:
    (check,) = values("HEALTHCHECK")
    for words in (*values("CMD"), check.partition(" CMD ")[2]):
        program, command, *rest = json.loads(words)
        assert program == "posthouse" and command in COMMANDS
        assert main([command, *rest, "--help"]) == 0
    assert capsys.readouterr().out


def test_it_stops_with_a_signal_that_drains() -> None:
    class Supervising:
        def stop(self, cause: str) -> None: ...
        def reload(self, cause: str) -> None: ...
        def upgrade(self, cause: str) -> None: ...

    (name,) = values("STOPSIGNAL")
    supervising = Supervising()
    assert table(supervising)[signal.Signals[name]] == supervising.stop


def test_it_is_built_from_wheels_alone_and_runs_without_rights() -> None:
    (install,) = [line for line in values("RUN") if "pip install" in line]
    assert "--no-index" in install and "--find-links /wheelhouse posthouse" in install
    assert not re.search(r"apt-get|curl|wget|apk ", TEXT)
    assert (
        values("COPY")[0] == "wheelhouse /wheelhouse"
        and "dist/wheelhouse" in (ROOT / "scripts/wheelhouse").read_text()
    )
    assert values("FROM") == ["${PYTHON} AS installed", "${PYTHON}"], "the same Python compiles and runs"
    (user,) = values("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    (owned,) = [line for line in values("RUN") if "chown" in line]
    (env,) = values("ENV")
    folders = dict(one.split("=") for one in env.split())
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME"):
        assert f"{folders[name]}/posthouse" in owned.partition(f"chown {user}")[2]


def test_its_python_is_new_enough() -> None:
    (image,) = values("ARG")
    least = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    found = re.search(r"python:3\.(\d+)", image)
    assert least and found and int(found[1]) >= int(least[1])
