"""How a process was started, and that the names in it are looked up anew."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from posthouse.server.origin import UNKNOWN, origin_of


def test_a_module_is_started_with_the_interpreter() -> None:
    made = origin_of("/venv/bin/python", ["python", "-X", "dev", "-m", "posthouse", "run"], {})
    assert made.words == ("/venv/bin/python", "-X", "dev", "-m", "posthouse", "run")
    assert made.refusal == ""
    assert UNKNOWN.refusal


def test_a_program_is_started_by_itself(tmp_path: Path) -> None:
    script = tmp_path / "posthouse"
    script.write_text("#!/old/bin/python\n")
    script.chmod(0o755)
    assert origin_of("/p", ["p", str(script), "run"], {}).words == (str(script), "run"), (
        "its first line may change"
    )
    assert origin_of("/p", ["p", "-E", str(script)], {}).words == ("/p", "-E", str(script))
    script.chmod(0o644)
    assert origin_of("/p", ["p", str(script), "run"], {}).words == ("/p", str(script), "run")
    script.chmod(0o755)
    script.write_text("import posthouse\n")
    assert origin_of("/p", ["p", str(script)], {}).words == ("/p", str(script))
    assert origin_of("/p", ["p", str(tmp_path / "none")], {}).words[0] == "/p"


def test_a_folder_keeps_the_name_that_may_lead_elsewhere_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    (tmp_path / "current").symlink_to("1")
    monkeypatch.chdir(tmp_path / "current")
    name = str(tmp_path / "current")
    assert origin_of("/p", ["p"], {"PWD": name}).folder == name
    for wrong in ("", "current", str(tmp_path / "2"), str(tmp_path / "none")):
        assert origin_of("/p", ["p"], {"PWD": wrong}).folder == os.path.realpath(name)


def test_process_1_can_have_no_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert origin_of(sys.executable, ["p"], {}, "no").refusal == "no"
    monkeypatch.setattr("posthouse.server.origin.os.getpid", lambda: 1)
    assert origin_of(sys.executable, ["p"], {}).refusal.startswith("the supervisor is process 1")
