"""argv -> command -> exit code."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import replace

import pytest

from posthouse import cli, commands
from posthouse.commands import COMMANDS, find
from posthouse.commands.command_line import Command, Given
from posthouse.errors import ConfigError, Mistake, Place, StartError

Acted = list[tuple[str, Given]]


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> Acted:
    """Which commands would have acted, with what they were given."""
    acts: Acted = []

    def watched(name: str) -> Command:
        def act(given: Given) -> int:
            acts.append((name, given))
            return 0

        return replace(find(name), act=act)

    monkeypatch.setattr(cli, "find", watched)
    return acts


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "run"),
        (["run"], "run"),
        (["--config", "x"], "run"),
        (["--watch"], "run"),
        (["--grace=3s"], "run"),
        (["proxy", "--to", "a:1"], "proxy"),
        (["demo"], "demo"),
        (["validate", "x"], "validate"),
        (["fmt"], "fmt"),
        (["adapt"], "adapt"),
        (["version"], "version"),
        (["--version"], "version"),
        (["-version"], "version"),
        (["-validate", "-conf", "x"], "validate"),
        (["-conf", "x"], "run"),
        (["proxy / localhost:9000", "log stdout"], "run"),
        (["help"], "help"),
        (["--help"], "help"),
        (["-h"], "help"),
    ],
)
def test_the_first_word_says_which_command(words: list[str], name: str, acted: Acted) -> None:
    assert cli.main(words) == 0
    assert [one for one, _ in acted] == [name]


def test_options_reach_the_command(acted: Acted) -> None:
    cli.main(["--config", "x", "--watch"])
    assert acted[0][1] == Given({"--config": ["x"], "--watch": [""]}, [])


def test_what_has_no_effect_is_told_unless_all_is_to_be_quiet(
    acted: Acted, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["-agree", "-conf", "x"])
    assert capsys.readouterr().err == (
        "posthouse: warning: -agree has no effect: no certificates are ordered in this release\n"
    )
    cli.main(["-agree", "-quiet", "-conf", "x"])
    assert capsys.readouterr().err == ""


def test_help_among_options_is_that_of_run(acted: Acted, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-conf", "x", "--help"]) == 0
    assert capsys.readouterr().out.startswith("posthouse run ")
    assert acted == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "unknown command 'rnu' (did you mean run?)"),
        (["RUN"], "unknown command 'RUN'"),
        (["Caddyfile"], "unknown command 'Caddyfile'"),
        (["browse"], "'browse' is no command: a line of a Caddyfile as an argument holds a blank"),
        (["-quic"], "QUIC was a draft"),
        (["--cofnig", "x"], "unknown option --cofnig (did you mean --config?)"),
        (["-x"], "unknown option -x"),
        (["run", "--nope"], "unknown option --nope"),
        (["version", "now"], "too many words for `version`: 'now'"),
    ],
)
def test_a_wrong_command_line_is_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.startswith("posthouse: ")
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("error", "code", "last"),
    [
        (
            StartError("cannot read x: No such file or directory"),
            1,
            "cannot read x: No such file or directory",
        ),
        (ConfigError(Mistake(Place("C", 1, 1), "wrong")), 1, "1 mistake in C"),
        (KeyboardInterrupt(), 0, ""),
    ],
)
def test_what_goes_wrong_is_told_and_has_its_code(
    error: BaseException,
    code: int,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(given: Given) -> int:
        raise error

    monkeypatch.setattr(cli, "find", lambda name: replace(find(name), act=fail))
    assert cli.main(["run"]) == code
    err = capsys.readouterr().err
    assert err.splitlines()[-1:] == ([f"posthouse: {last}"] if last else [])
    assert gc.isenabled()


def test_a_reader_that_leaves_is_no_traceback() -> None:
    script = f"exec {sys.executable} -m posthouse help"
    done = subprocess.run(
        ["bash", "-c", f"({script}; echo code $? >&2) | true"], capture_output=True, text=True, check=False
    )
    assert done.stderr in ("code 0\n", "code 1\n", "")


def test_every_command_is_found_by_its_name() -> None:
    assert [find(name).name for name in COMMANDS] == list(COMMANDS)
    assert set(COMMANDS) <= {
        name for name in vars(commands) if not name.startswith("_")
    }  # each is a module of the package


@pytest.mark.parametrize("tracer", ["", "sys.settrace(lambda *_: None);"])
def test_the_process_ends_whatever_still_waits(tracer: str) -> None:
    """A thread that asks a name server can wait for minutes; it must not hold up the end."""
    script = (
        "import sys, threading;"
        "threading.Thread(target=threading.Event().wait, args=(0 if 'trace' in sys.argv else 60,)).start();"
        "sys.argv = ['posthouse', 'version'];"
        f"{tracer}"
        "from posthouse.cli import main; main()"
    )
    words = [sys.executable, "-c", script, *(["trace"] if tracer else [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("posthouse ")
