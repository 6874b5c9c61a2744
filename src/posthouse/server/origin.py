"""Origin: how this process was started, so that another one can be started the same way: an upgrade.

What the names lead to is asked at that moment, not remembered: the folder may be a symbolic link that points to another
release by now, a script's first line may name another interpreter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Origin:
    """words    the command line
    folder   the working directory, by the name that it was entered by
    refusal  why it cannot be started again, one line; "": it can
    """

    words: tuple[str, ...]
    folder: str
    refusal: str = ""


UNKNOWN: Final = Origin((), "", "it is not known how this process was started")


def origin_of(executable: str, original: Sequence[str], env: Mapping[str, str], refusal: str = "") -> Origin:
    """How we were started.

    executable  sys.executable
    original    sys.orig_argv: the interpreter, its options, and everything after them

    An installed `posthouse` is started by itself, without the interpreter that its first line named at our start. With
    options for the interpreter, or as a module, it is the interpreter that was started, so it is again.
    """
    if os.getpid() == 1:
        refusal = (
            "the supervisor is process 1, and everything in a container ends with that: start a new container"
        )
    rest = tuple(original[1:])
    words = rest if rest and not rest[0].startswith("-") and _is_program(rest[0]) else (executable, *rest)
    return Origin(words, _folder(env), refusal)


def _is_program(path: str) -> bool:
    """Whether the system can start it: executable, with a first line that names its interpreter."""
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!" and os.access(path, os.X_OK)
    except OSError:
        return False


def _folder(env: Mapping[str, str]) -> str:
    """The shell's name of it, if it is right: the system's has no symbolic links left."""
    folder = os.getcwd()
    name = env.get("PWD", "")
    try:
        if os.path.isabs(name) and os.path.samefile(name, folder):
            return name
    except OSError:
        pass
    return folder
