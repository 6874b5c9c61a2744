"""`posthouse adapt`: JSON on stdout, warnings on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from posthouse.adapt import AdaptError
from posthouse.commands.adapt import COMMAND


def test_json_of_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "Caddyfile"
    path.write_text("example.com {\n proxy / http://user:secret@localhost:9000\n}\n")
    assert COMMAND.run([str(path)]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["sites"][0]["addresses"][0]["host"] == "example.com"
    assert "secret" not in shown.out
    assert shown.err.startswith("warning: "), "a public name without a port listens on 2015"


def test_mistakes_are_raised(tmp_path: Path) -> None:
    path = tmp_path / "Caddyfile"
    path.write_text("prxy {\n x\n}\n")
    with pytest.raises(AdaptError):
        COMMAND.run(["--config", str(path)])
