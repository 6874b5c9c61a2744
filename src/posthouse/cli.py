"""argv -> command -> exit code. Nothing else reads argv.

Exit codes: 0 done, or stopped as asked · 1 configuration or start failed · 2 wrong command line, or a second
signal.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from posthouse.commands import COMMANDS, find, succession, v1_flags
from posthouse.commands.command_line import UsageError
from posthouse.commands.ending import end
from posthouse.commands.report import complain, complain_of_mistakes
from posthouse.commands.standard_streams import occupy
from posthouse.errors import ConfigError, StartError

DONE, FAILED, WRONG_USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the words name; its exit code. Never raises, never shows a traceback.

    argv  None: those of the process, which ends here then
    """
    if argv is None:
        occupy()
        end(main(sys.argv[1:]))
    words = list(argv or ())
    # Starting makes only what stays: collecting on the way costs a tenth of the time. The worker turns it on.
    gc.disable()
    try:
        return _dispatch(words)
    except (UsageError, ConfigError, StartError) as error:
        succession.refuse(error)
        return _complain(error)
    except BrokenPipeError:
        _discard_stdout()
        return FAILED
    except KeyboardInterrupt:  # before the worker listens to signals: stopped as asked
        return DONE
    finally:
        gc.enable()


def _dispatch(words: list[str]) -> int:
    """Which command the words mean: the rule of the first word."""
    first = words[0] if words else ""
    if first in COMMANDS:
        return find(first).run(words[1:])
    if first in ("-h", "--help"):
        return find("help").run(words[1:])
    if first == "--version":
        return find("version").run(words[1:])
    if not words:
        return find("run").run([])
    if first.startswith("-") or v1_flags.is_line(first):
        return _without_command(words)
    raise UsageError(v1_flags.no_command(first))


def _complain(error: UsageError | ConfigError | StartError) -> int:
    """Say what is wrong; the exit code."""
    if isinstance(error, UsageError):
        complain(f"{error} (see `posthouse help`)")
        return WRONG_USAGE
    if isinstance(error, ConfigError):
        complain_of_mistakes(error)
    else:
        complain(str(error))
    return FAILED


def _without_command(words: list[str]) -> int:
    """Options of `run`, flags of Caddy v1, lines of a Caddyfile."""
    if "--help" in words or "-h" in words:
        return find("run").run(["--help"])
    line = v1_flags.read(words, find("run"))
    if not line.given.has("-quiet"):
        for warning in line.warnings:
            complain(f"warning: {warning}")
    if line.command == "version":
        return find("version").run([])
    return find(line.command).act(line.given)


def _discard_stdout() -> None:
    """Nobody reads our output any more: keep the interpreter from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
