"""The frozen configuration of logs and error pages; `specs.py` hands them on."""

from __future__ import annotations

from dataclasses import dataclass, field

from posthouse.errors import NOWHERE, Place


@dataclass(frozen=True, slots=True)
class RotationSpec:
    """`rotate_*` of a log file.

    size  bytes at which the file is put aside
    age   seconds for which files put aside are kept, None = for ever; keep: how many of them, None = all
    """

    size: int = 100 << 20
    age: float | None = 14 * 86_400.0
    keep: int | None = 10
    is_compressed: bool = False
    is_off: bool = False
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class LogSpec:
    """One `log`: path scope, where to, and the format: "common", "combined", "json", or a template.

    output    a file path, "stdout", "stderr", or an address of a syslog daemon (config/outputs.py)
    excepts   paths of the site that this line does not log
    ipmask    masks for IPv4 and IPv6 addresses, as addresses; "" = not masked
    rotation  None = nothing was said: a file is rotated as a RotationSpec has it by default
    """

    path: str = "/"
    output: str = "access.log"
    format: str = "common"
    place: Place = field(default=NOWHERE, compare=False)
    excepts: tuple[str, ...] = ()
    ipmask: tuple[str, str] = ("", "")
    rotation: RotationSpec | None = None


@dataclass(frozen=True, slots=True)
class ErrorsSpec:
    """`errors`: the log of what went wrong, and pages for the statuses that Posthouse answers itself.

    output      as in LogSpec
    pages       (status, file), 0 = any other status; a relative file belongs to the site's root
    is_visible  the client is shown the error, and no log is written
    """

    output: str = "stderr"
    pages: tuple[tuple[int, str], ...] = ()
    is_visible: bool = False
    rotation: RotationSpec | None = None
    place: Place = field(default=NOWHERE, compare=False)
