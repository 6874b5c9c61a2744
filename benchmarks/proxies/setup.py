"""What a row asks of a proxy, and what a proxy has to say for itself."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOG, RULES, STATIC, TLS = "log", "rules", "static", "tls"
"""What a row can ask for beside plain forwarding."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a proxy is to do.

    port, backend_port   listen here, forward there, both on loopback
    folder               for configuration, sockets and logs
    access_log           the file of the access log; None: off
    has_rules            apply the twelve header rules of rules.py
    root                 serve the files of this folder instead of forwarding; None: forward
    is_upgraded          the load asks for WebSockets: nginx has to be told
    is_tls               the backend speaks TLS, with a certificate that is not to be verified
    workers              worker processes; threads in HAProxy, which has one process
    generation           above 0: answers name it in the field X-Generation, and it can be reloaded
    """

    port: int
    backend_port: int
    folder: Path
    access_log: Path | None = None
    has_rules: bool = False
    root: Path | None = None
    is_upgraded: bool = False
    is_tls: bool = False
    workers: int = 1
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy under test.

    prepare   writes its files and gives the command line that runs it in the foreground
    version   gives the command line that prints its version
    lacks     what it can't do: the rows that ask for it show a dash
    """

    name: str
    prepare: Callable[[Setup], list[str]]
    version: Callable[[], list[str]]
    lacks: frozenset[str] = frozenset()


def program(name: str) -> str:
    """Where the program is: beside the interpreter (from a wheel), or on PATH.

    Debian keeps nginx and haproxy outside an ordinary user's PATH. SystemExit if it is missing.
    """
    places = [sysconfig.get_path("scripts"), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=":".join(places))
    if found is None:
        raise SystemExit(f"{name} is missing; `make bench` installs what it needs, or says how")
    return found
