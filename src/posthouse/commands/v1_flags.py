"""The command line of Caddy v1, so that old unit files work: flags with one dash or two, lines of a Caddyfile.

Read as Go's flag package does (caddy1.md 8.4): a flag that is not a switch takes its value from `-flag=value`
or from the next word, whatever that looks like; a switch takes one only as `-flag=value`. Ours, with two
dashes, may stand among them; of a name that both have, both mean the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from posthouse.commands import COMMANDS
from posthouse.commands.command_line import Command, Given, Option, UsageError, suggestion

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

_CERTIFICATES = "no certificates are ordered in this release"
_ROLLING = "the process log is not rotated here; move the file away and send HUP, as logrotate does"


@dataclass(slots=True)
class Line:
    """A command line as it means something to us.

    command   the one of our commands that it asks for
    warnings  one line for each flag that does nothing
    """

    command: str
    given: Given
    warnings: list[str]


Reader = Callable[[Line, str, str], None]
"""What a flag does to the line: (line, name, value); the name without dashes. Raises UsageError."""


@dataclass(frozen=True, slots=True)
class Flag:
    """is_switch: Go's boolean, value "true" or "false"."""

    read: Reader
    is_switch: bool = False


def read(words: Sequence[str], run: Command) -> Line:
    """What a command line without a command means; `run` says which options are ours. Raises UsageError."""
    line = Line("run", Given({}, []), [])
    ours = {option.name: option for option in run.options}
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == "--":
            line.given.lines.extend(reversed(rest))
            break
        if not word.startswith("-") or word == "-":
            line.given.lines.append(word)
        else:
            _take(word, rest, ours, line)
    _check_lines(line.given)
    return line


def is_line(word: str) -> bool:
    """Whether a first word can be a line of a Caddyfile: it holds a blank, so that no command is meant."""
    return any(character.isspace() for character in word)


def no_command(word: str) -> str:
    """What to say about a first word that is nothing of all this."""
    from posthouse.adapt import is_directive

    if is_directive(word):
        return f"{word!r} is no command: {HOW_TO_WRITE_LINES}"
    if os.path.isfile(word):
        return f"unknown command {word!r}; `posthouse --config {word}` serves that file"
    return f"unknown command {word!r}{suggestion(word, COMMANDS)}"


def _take(word: str, rest: list[str], ours: dict[str, Option], line: Line) -> None:
    """`rest` are the words after it, the next one last."""
    name, has_value, value = word.partition("=")
    option = ours.get(name)
    if option is not None:
        _take_ours(option, value if has_value else None, rest, line.given)
        return
    bare = name.removeprefix("-").removeprefix("-")
    flag = V1_FLAGS.get(bare)
    if flag is None:
        raise UsageError(f"unknown option {name}{suggestion(name, ours)}")
    if has_value:
        value = _switch(name, value) if flag.is_switch else value
    elif flag.is_switch:
        value = "true"
    elif bare == "env":
        value = rest.pop() if rest and not rest[-1].startswith("-") and not is_line(rest[-1]) else ""
    else:
        value = _next(rest, name, "VALUE")
    flag.read(line, bare, value)


def _take_ours(option: Option, value: str | None, rest: list[str], given: Given) -> None:
    if not option.value and value is not None:
        raise UsageError(f"{option.name} takes no value")
    if option.value and value is None:
        value = _next(rest, option.name, option.value)
    given.options.setdefault(option.name, []).append(value or "")


def _next(rest: list[str], name: str, shown: str) -> str:
    if not rest:
        raise UsageError(f"{name} needs a value: {name} {shown}")
    return rest.pop()


def _switch(name: str, value: str) -> str:
    if value not in _TRUE | _FALSE:
        raise UsageError(f"{name} is {value!r}, expected true or false")
    return "true" if value in _TRUE else "false"


HOW_TO_WRITE_LINES = (
    'a line of a Caddyfile as an argument holds a blank, as in "browse /" or "proxy / localhost:9000"'
)


def _check_lines(given: Given) -> None:
    """Lines are the whole configuration; the first one has a blank, or it would be a mistyped command."""
    lines = given.lines
    if not lines:
        return
    if given.has("--config"):
        raise UsageError(
            f"{lines[0]!r} would be a line of a Caddyfile beside the file {given.last('--config')}: give one of them"
        )
    if not is_line(lines[0]):
        raise UsageError(f"{lines[0]!r} is no option: {HOW_TO_WRITE_LINES}")


# --- what each flag does


def _ours(option: str) -> Reader:
    def take(line: Line, name: str, value: str) -> None:
        if not value:
            raise UsageError(f"-{name} is empty")
        line.given.options.setdefault(option, []).append(value)

    return take


def _conf(line: Line, name: str, value: str) -> None:
    _ours("--config")(line, name, "-" if value == "stdin" else value)


def _env(line: Line, name: str, value: str) -> None:
    """Before v1.0 `-env FILE`, later a switch that prints the environment."""
    if not value or value in _TRUE | _FALSE:
        line.warnings.append("-env prints nothing: the environment may hold secrets")
        return
    _ours("--env-file")(line, name, value)


def _quiet(line: Line, name: str, value: str) -> None:
    line.given.options.pop("-quiet", None)
    if value == "true":
        line.given.options["-quiet"] = [""]


def _command(command: str) -> Reader:
    def take(line: Line, name: str, value: str) -> None:
        if value == "true" and line.command != "version":
            line.command = command

    return take


def _without_effect(why: str, silent: str | None = None) -> Reader:
    """Told, unless the value is the one that asks for nothing."""

    def take(line: Line, name: str, value: str) -> None:
        if value != silent:
            line.warnings.append(f"-{name} has no effect: {why}")

    return take


def _refused(why: str, allowed: str | None = None) -> Reader:
    def take(line: Line, name: str, value: str) -> None:
        if value != allowed:
            raise UsageError(f"-{name}: {why}")

    return take


_SWITCH = True

V1_FLAGS: dict[str, Flag] = {
    "conf": Flag(_conf),
    "port": Flag(_ours("-port")),
    "host": Flag(_ours("-host")),
    "root": Flag(_ours("-root")),
    "http-port": Flag(_ours("-http-port")),
    "log": Flag(_ours("--log")),
    "pidfile": Flag(_ours("--pidfile")),
    "grace": Flag(_ours("--grace")),
    "env": Flag(_env),
    "envfile": Flag(_ours("--env-file")),
    "quiet": Flag(_quiet, _SWITCH),
    "validate": Flag(_command("validate"), _SWITCH),
    "version": Flag(_command("version"), _SWITCH),
    # Nothing of it matters to who starts an old unit file: said, and left.
    "agree": Flag(_without_effect(_CERTIFICATES, "false"), _SWITCH),
    "email": Flag(_without_effect(_CERTIFICATES)),
    "ca": Flag(_without_effect(_CERTIFICATES)),
    "catimeout": Flag(_without_effect(_CERTIFICATES)),
    "default-sni": Flag(_without_effect("HTTPS is not in this release yet")),
    "disable-http-challenge": Flag(_without_effect(_CERTIFICATES, "false"), _SWITCH),
    "disable-tls-alpn-challenge": Flag(_without_effect(_CERTIFICATES, "false"), _SWITCH),
    "https-port": Flag(_without_effect("HTTPS is not in this release yet")),
    "http2": Flag(_without_effect("HTTP/2 is not in this release yet", "false"), _SWITCH),
    "cpu": Flag(_without_effect("--workers says how many cores are used")),
    "disabled-metrics": Flag(_without_effect("Posthouse reports to nobody")),
    "log-roll-mb": Flag(_without_effect(_ROLLING)),
    "log-roll-compress": Flag(_without_effect(_ROLLING, "false"), _SWITCH),
    "log-timestamps": Flag(_without_effect("lines of the process log always have a time", "true"), _SWITCH),
    # Without it something else would be served than was asked for, or nothing be done that was.
    "quic": Flag(_refused("Caddy v1's QUIC was a draft that no browser speaks any more", "false"), _SWITCH),
    "type": Flag(_refused("http is the only type of server", "http")),
    "revoke": Flag(_refused("Posthouse holds no certificate that it could revoke")),
    "plugins": Flag(
        _refused("Posthouse has no plug-ins of Caddy; `posthouse version` shows what runs", "false"), _SWITCH
    ),
    "caddyfile-to-json": Flag(_refused("use `posthouse adapt FILE`, which prints what a Caddyfile means")),
    "json-to-caddyfile": Flag(
        _refused("nothing makes a Caddyfile of JSON; `posthouse adapt FILE` goes the other way")
    ),
}
"""Those of Caddy v1 by name, without dashes."""
