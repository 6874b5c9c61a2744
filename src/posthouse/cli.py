"""argv -> command -> exit code. Nothing else reads argv.

Exit codes: 0 done, or stopped as asked · 1 configuration or start failed · 2 wrong command line, or a second
signal.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from posthouse.commands import COMMANDS, find
from posthouse.commands.command_line import UsageError, suggestion
from posthouse.commands.report import complain, complain_of_mistakes
from posthouse.errors import ConfigError, StartError

DONE, FAILED, WRONG_USAGE = 0, 1, 2

V1_FLAGS = frozenset(
    (
        *("agree", "ca", "caddyfile-to-json", "catimeout", "conf", "cpu", "default-sni", "disabled-metrics"),
        *("disable-http-challenge", "disable-tls-alpn-challenge", "email", "env", "envfile", "grace", "host"),
        *("http-port", "http2", "https-port", "json-to-caddyfile", "log", "log-roll-compress", "log-roll-mb"),
        *("log-timestamps", "pidfile", "plugins", "port", "quic", "quiet", "revoke", "root", "type"),
        *("validate", "version"),
    )
)
"""Those of Caddy v1, without dashes. v1 took one dash or two; of a name that is ours too, two dashes mean ours."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the words name; its exit code. Never raises, never shows a traceback.

    argv  None: those of the process, which ends here then
    """
    if argv is None:
        _end(main(sys.argv[1:]))
    words = list(argv or ())
    # Starting makes only what stays: collecting on the way costs a tenth of the time. The worker turns it on.
    gc.disable()
    try:
        return _dispatch(words)
    except UsageError as error:
        complain(f"{error} (see `posthouse help`)")
        return WRONG_USAGE
    except ConfigError as error:
        complain_of_mistakes(error)
        return FAILED
    except StartError as error:
        complain(str(error))
        return FAILED
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
    if not first or _is_ours(first):
        return find("run").run(words)
    if first.startswith("-"):
        raise UsageError(_unknown_flag(first))
    if any(character.isspace() for character in first):
        raise UsageError(
            "lines of a Caddyfile as arguments are not in this release yet: write them to a file"
        )
    raise UsageError(f"unknown command {first!r}{suggestion(first, COMMANDS)}")


def _is_ours(flag: str) -> bool:
    name = flag.partition("=")[0]
    return name.startswith("--") and any(option.name == name for option in find("run").options)


def _unknown_flag(flag: str) -> str:
    name = flag.partition("=")[0]
    if name.lstrip("-") == "quic":
        return f"{name}: Caddy v1's QUIC was a draft that no browser speaks any more"
    if name.lstrip("-") in V1_FLAGS:
        return f"{name} is a flag of Caddy v1, which is not in this release yet{_instead(name)}"
    return f"unknown option {name}{suggestion(name, [option.name for option in find('run').options])}"


def _instead(name: str) -> str:
    ours = {
        "conf": "posthouse run --config FILE",
        "envfile": "posthouse run --env-file FILE",
        "log": "posthouse run --log FILE",
        "pidfile": "posthouse run --pidfile FILE",
        "grace": "posthouse run --grace 30s",
        "validate": "posthouse validate",
        "version": "posthouse version",
        "caddyfile-to-json": "posthouse adapt",
    }.get(name.lstrip("-"))
    return f"; use `{ours}`" if ours else ""


def _end(code: int) -> NoReturn:
    """End the process now: neither a thread that waits for a name server nor a transport can hold it up.

    A profiler or debugger that is to write its findings at exit gets the long way.
    """
    if sys.getprofile() is None and sys.gettrace() is None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _discard_stdout() -> None:
    """Nobody reads our output any more: keep the interpreter from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
