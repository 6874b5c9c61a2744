"""`posthouse fmt [FILE] [--write] [--check]`: the Caddyfile in its canonical form."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile

from posthouse.commands.command_line import Command, Given, Option, UsageError
from posthouse.commands.configuration import DEFAULT_CONFIG, STDIN
from posthouse.commands.report import complain, complain_of_mistakes
from posthouse.errors import ConfigError, StartError


def _act(given: Given) -> int:
    from posthouse.caddyfile.fmt import format_caddyfile

    path = given.words[0] if given.words else DEFAULT_CONFIG
    if given.has("--write") and path == STDIN:
        raise UsageError("--write needs a file, not stdin")
    if given.has("--write") and given.has("--check"):
        raise UsageError("--check only looks, --write changes the file: give one of them")
    text = _read(path)
    try:
        formatted = format_caddyfile(text, path)
    except ConfigError as error:
        complain_of_mistakes(error, {path: text})
        return 1
    if given.has("--write") and formatted != text:
        _replace(path, formatted)
    if given.has("--check"):
        if formatted != text:
            complain(f"{path} is not formatted (`posthouse fmt --write {path}` does it)")
            return 1
    elif not given.has("--write"):
        sys.stdout.write(formatted)
        sys.stdout.flush()
    return 0


def _read(path: str) -> str:
    try:
        if path == STDIN:
            return sys.stdin.buffer.read().decode("utf-8")
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as error:
        raise StartError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartError(f"cannot read {path}: it is not UTF-8 text") from None


def _replace(path: str, text: str) -> None:
    """Write beside the file and rename: whoever reloads meanwhile sees the old text or the new one."""
    target = os.path.realpath(path)
    beside = ""
    try:
        number, beside = tempfile.mkstemp(prefix=".posthouse-", dir=os.path.dirname(target))
        with open(number, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            os.fchmod(file.fileno(), os.stat(target).st_mode & 0o7777)
        os.replace(beside, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise StartError(f"cannot write {path}: {error.strerror}") from None


COMMAND = Command(
    "fmt",
    "print a Caddyfile in its canonical form; comments are kept",
    _act,
    options=(
        Option("--write", "", "write it back to the file instead"),
        Option("--check", "", "print nothing; exit 1 if the file is not in that form"),
    ),
    usage="[FILE|-]",
    most=1,
)
