"""The file that holds our process id."""

from __future__ import annotations

import os

from posthouse.errors import StartError


def write(path: str) -> None:
    """Write our pid, replacing what is there in one step. Raises StartError naming the path."""
    beside = f"{path}.{os.getpid()}"
    try:
        with open(beside, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        os.replace(beside, path)
    except OSError as error:
        raise StartError(f"cannot write the pid file {path}: {error.strerror}") from None


def remove(path: str) -> None:
    """Remove the file if it still names us: a successor may have written its own pid meanwhile."""
    try:
        with open(path, encoding="ascii") as file:
            is_ours = file.read().strip() == str(os.getpid())
        if is_ours:
            os.unlink(path)
    except (OSError, UnicodeDecodeError):
        return
