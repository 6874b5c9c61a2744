"""`posthouse run`: which configuration is served, and how it is read again. Serving itself: tests/e2e."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.adapt import Adapted
from posthouse.commands import run, serving
from posthouse.commands.command_line import Given, UsageError
from posthouse.errors import StartError


class Enlisted:
    """Stands in for processes that wait to be workers."""

    is_dismissed = False

    def __enter__(self) -> Enlisted:
        return self

    def __exit__(self, *error: object) -> None:
        self.is_dismissed = True


class Served:
    """Stands in for serving: keeps what it was asked to serve."""

    def __init__(self) -> None:
        self.loaded: Adapted | None = None
        self.reload: Callable[[], Adapted | None] = lambda: None
        self.config = ""
        self.recruits = Enlisted()

    def __call__(
        self,
        given: Given,
        loaded: Adapted,
        reload: Callable[[], Adapted | None],
        *rest: Any,
        config: str = "",
        recruits: Any = None,
    ) -> int:
        assert recruits is self.recruits and not recruits.is_dismissed
        self.loaded, self.reload, self.config = loaded, reload, config
        return 0

    def port(self) -> int:
        assert self.loaded is not None
        return self.loaded.config.sites[0].addresses[0].port


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    monkeypatch.chdir(tmp_path)
    stand_in = Served()
    monkeypatch.setattr(serving, "serve", stand_in)
    monkeypatch.setattr(serving, "enlist", lambda given: stand_in.recruits)
    return stand_in


def test_the_caddyfile_here_and_again_at_reload(served: Served) -> None:
    Path("Caddyfile").write_text(":8080\n")
    assert run.COMMAND.run([]) == 0
    assert (served.port(), served.config) == (8080, "Caddyfile")
    Path("Caddyfile").write_text(":8081\n")
    again = served.reload()
    assert again is not None
    assert again.config.sites[0].addresses[0].port == 8081
    Path("Caddyfile").unlink()
    with pytest.raises(StartError):
        served.reload()


def test_stdin_is_read_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b":8082\n")))
    assert run.COMMAND.run(["--config", "-"]) == 0
    assert served.port() == 8082
    assert served.reload() is None


def test_lines_are_read_once(served: Served) -> None:
    given = Given({"-port": ["8083"]}, [], ["proxy / localhost:9000"])
    assert run.COMMAND.act(given) == 0
    assert served.port() == 8083
    assert served.reload() is None
    with pytest.raises(UsageError, match="--watch needs a file"):
        run.COMMAND.act(Given({"--watch": [""]}, [], ["proxy / localhost:9000"]))


def test_a_missing_file_is_told(served: Served) -> None:
    with pytest.raises(StartError, match="there is no Caddyfile"):
        run.COMMAND.run([])
    assert served.recruits.is_dismissed, "whatever happens"
    with pytest.raises(StartError, match="cannot read nowhere"):
        run.COMMAND.run(["--config", "nowhere"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "-", "--watch"], "--watch needs a file"),
        (["--config="], "--config needs the name of a file"),
        (["Caddyfile"], r"too many words for `run`: 'Caddyfile' \(a file is named with --config Caddyfile\)"),
        (["--workers", "0"], "--workers is '0'"),
    ],
)
def test_refused(words: list[str], said: str, served: Served) -> None:
    with pytest.raises(UsageError, match=said):
        run.COMMAND.run(words)
    assert served.loaded is None
