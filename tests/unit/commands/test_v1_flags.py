"""Caddy v1's command line as ours: `given` and the command, warnings, refusals."""

from __future__ import annotations

import pytest

from posthouse.commands import find
from posthouse.commands.command_line import Given, UsageError
from posthouse.commands.v1_flags import V1_FLAGS, Line, is_line, no_command, read

RUN = find("run")


def line(*words: str) -> Line:
    return read(words, RUN)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["-conf", "x"], {"--config": ["x"]}),
        (["--conf=x"], {"--config": ["x"]}),
        (["-conf=x=y"], {"--config": ["x=y"]}),
        (["-conf", "stdin"], {"--config": ["-"]}),
        (["-conf", "-"], {"--config": ["-"]}),
        (["-conf", "/etc/caddy/*.conf"], {"--config": ["/etc/caddy/*.conf"]}),
        (["-port", "8080", "-host", "a.test"], {"-port": ["8080"], "-host": ["a.test"]}),
        (["-root", "/srv", "-http-port", "8000"], {"-root": ["/srv"], "-http-port": ["8000"]}),
        (["-log", "stdout"], {"--log": ["stdout"]}),
        (["--log", "stdout", "-pidfile", "p"], {"--log": ["stdout"], "--pidfile": ["p"]}),
        (["-grace", "5s"], {"--grace": ["5s"]}),
        (["-envfile", "e"], {"--env-file": ["e"]}),
        (["-env", "e"], {"--env-file": ["e"]}),
        (["-env=e"], {"--env-file": ["e"]}),
        (["-quiet"], {"-quiet": [""]}),
        (["-quiet=true"], {"-quiet": [""]}),
        (["-quiet=T", "-quiet=0"], {}),
        (["-type", "http", "-quic=false", "-http2=false", "-agree=false", "-log-timestamps"], {}),
        (["-conf", "x", "--watch", "--workers=1"], {"--config": ["x"], "--watch": [""], "--workers": ["1"]}),
        (["-pidfile", "-conf"], {"--pidfile": ["-conf"]}),
    ],
)
def test_flags_become_options(words: list[str], options: dict[str, list[str]]) -> None:
    assert line(*words) == Line("run", Given(options, []), [])


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["-validate", "-conf", "x"], "validate"),
        (["--validate=1"], "validate"),
        (["-validate=false"], "run"),
        (["-version", "-validate"], "version"),
        (["-validate", "-version"], "version"),
    ],
)
def test_some_are_commands(words: list[str], command: str) -> None:
    assert line(*words).command == command


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["proxy / a:1"], ["proxy / a:1"]),
        (["-port", "80", "proxy / a:1", "gzip"], ["proxy / a:1", "gzip"]),
        (["proxy / a:1", "-port", "80"], ["proxy / a:1"]),
        (["-quiet", "proxy / a:1"], ["proxy / a:1"]),
        (["--", "log stdout", "-x"], ["log stdout", "-x"]),
        (["-env", "proxy / a:1"], ["proxy / a:1"]),
    ],
)
def test_other_words_are_lines(words: list[str], lines: list[str]) -> None:
    assert line(*words).given.lines == lines


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (["-agree"], "-agree has no effect: no certificates are ordered in this release"),
        (["-email", "a@b.test"], "-email has no effect: no certificates"),
        (["-email", "-quiet"], "-email has no effect: no certificates"),
        (["-ca", "x"], "-ca has no effect"),
        (["-http2"], "-http2 has no effect: HTTP/2 is not in this release yet"),
        (["-cpu", "80%"], "-cpu has no effect: --workers says how many cores are used"),
        (["-disabled-metrics", "x"], "-disabled-metrics has no effect: Posthouse reports to nobody"),
        (["-log-roll-mb", "5"], "-log-roll-mb has no effect: the process log is not rotated here"),
        (["-log-timestamps=false"], "-log-timestamps has no effect: lines"),
        (["-env"], "-env prints nothing: the environment may hold secrets"),
        (["-env", "-agree=false"], "-env prints nothing"),
        (["-env=true"], "-env prints nothing"),
    ],
)
def test_what_does_nothing_is_told(words: list[str], warning: str) -> None:
    found = line(*words)
    assert [one[: len(warning)] for one in found.warnings] == [warning]
    assert found.given == Given({}, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-quic"], "QUIC was a draft"),
        (["-type", "dns"], "-type: http is the only type of server"),
        (["-revoke", "a.test"], "-revoke: Posthouse holds no certificate"),
        (["-plugins"], "no plug-ins of Caddy; `posthouse version`"),
        (["-caddyfile-to-json", "x"], "use `posthouse adapt FILE`"),
        (["-json-to-caddyfile", "x"], "`posthouse adapt FILE` goes the other way"),
        (["-conf"], "-conf needs a value"),
        (["-conf="], "-conf is empty"),
        (["-quiet=maybe"], "-quiet is 'maybe', expected true or false"),
        (["-config", "x"], "unknown option -config (did you mean --config?)"),
        (["--cofnig", "x"], "unknown option --cofnig (did you mean --config?)"),
        (["--watch=1"], "--watch takes no value"),
        (["--workers"], "--workers needs a value: --workers N|auto"),
        (["-conf", "x", "proxy / a:1"], "would be a line of a Caddyfile beside the file x: give one of them"),
        (["-quiet", "browse"], "'browse' is no option: a line of a Caddyfile as an argument holds a blank"),
        (["-"], "'-' is no option"),
    ],
)
def test_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        line(*words)
    assert said in str(raised.value)


def test_the_unit_file_that_v1_came_with() -> None:
    found = line(
        *[
            "-log",
            "stdout",
            "-log-timestamps=false",
            "-agree=true",
            "-conf=/etc/caddy/Caddyfile",
            "-root=/var/tmp",
        ]
    )
    options = {"--log": ["stdout"], "--config": ["/etc/caddy/Caddyfile"], "-root": ["/var/tmp"]}
    assert (found.command, found.given) == ("run", Given(options, []))
    assert [one.split()[0] for one in found.warnings] == ["-log-timestamps", "-agree"]


def test_what_can_be_a_line() -> None:
    assert is_line("browse ") and is_line("a\tb")
    assert not is_line("browse") and not is_line("")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("browse", "'browse' is no command: a line of a Caddyfile as an argument holds a blank, as in"),
        (
            "pyproject.toml",
            "unknown command 'pyproject.toml'; `posthouse --config pyproject.toml` serves that file",
        ),
        ("rnu", "unknown command 'rnu' (did you mean run?)"),
    ],
)
def test_a_word_that_is_nothing_of_all_this(word: str, said: str) -> None:
    assert no_command(word).startswith(said)


def test_every_flag_of_v1_is_known() -> None:
    """caddy1.md 8.4."""
    assert set(V1_FLAGS) == {
        *("agree", "ca", "caddyfile-to-json", "catimeout", "conf", "cpu", "default-sni", "disabled-metrics"),
        *("disable-http-challenge", "disable-tls-alpn-challenge", "email", "env", "envfile", "grace", "host"),
        *("http-port", "http2", "https-port", "json-to-caddyfile", "log", "log-roll-compress", "log-roll-mb"),
        *("log-timestamps", "pidfile", "plugins", "port", "quic", "quiet", "revoke", "root", "type"),
        *("validate", "version"),
    }
