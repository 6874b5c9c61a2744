"""Rotation: when a log file has grown to its size it is put aside under a name with the time in it.

    access.log  ->  access-2026-11-24T12-00-00.000.log  (and .gz once compressed)

These are the names that v1 gave (local time), so old files of a v1 installation are found, compressed and deleted
with the others. Putting aside is one rename; all the rest is left to `housekeeping`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

COMPRESSED = ".gz"
UNFINISHED = ".gz.part"
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)\.(\d{3})")
_STAMP_FORM = "%Y-%m-%dT%H-%M-%S"
_NEVER_ROTATED = ("/dev/", "/proc/")
"""`/dev/stdout` may lead to a file, but to one of whoever started us."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is put aside, and what becomes of those put aside.

    size  bytes that a file does not grow past (a longer line excepted)
    age   seconds after which a file put aside is deleted; None: never
    keep  so many are kept; None: all
    """

    size: int
    age: float | None = None
    keep: int | None = None
    is_compressed: bool = False


class Tidying(NamedTuple):
    """What is to be done in a folder; names without the folder."""

    remove: list[str]
    compress: list[str]


def backup_name(path: str, milliseconds: int) -> str:
    """The name under which a file is put aside; `milliseconds` since the epoch."""
    stem, ending = os.path.splitext(path)
    second, ms = divmod(milliseconds, 1000)
    return f"{stem}-{time.strftime(_STAMP_FORM, time.localtime(second))}.{ms:03d}{ending}"


def backup_time(path: str, name: str) -> float | None:
    """When the file `name` of the same folder was put aside (seconds since the epoch); None: it is none of `path`."""
    stem, ending = os.path.splitext(os.path.basename(path))
    plain = name.removesuffix(UNFINISHED).removesuffix(COMPRESSED)
    if not plain.startswith(stem + "-") or not plain.endswith(ending):
        return None
    found = _STAMP.fullmatch(plain[len(stem) + 1 : len(plain) - len(ending)])
    if found is None:
        return None
    try:
        return time.mktime(time.strptime(found[1], _STAMP_FORM)) + int(found[2]) / 1000
    except (ValueError, OverflowError):
        return None


def judge(path: str, names: Iterable[str], rotation: Rotation, now: float) -> Tidying:
    """What the names in the folder of `path` ask for. An unfinished compression is removed, and done again."""
    remove: list[str] = []
    compress: list[str] = []
    aside: dict[str, float] = {}
    there = set(names)
    for name in there:
        when = backup_time(path, name)
        if when is None:
            continue
        if name.endswith(UNFINISHED):
            remove.append(name)
        else:
            aside[name.removesuffix(COMPRESSED)] = when
    newest_first = sorted(aside, key=lambda name: (aside[name], name), reverse=True)
    for rank, name in enumerate(newest_first):
        is_left_over = rotation.keep is not None and rank >= rotation.keep
        is_old = rotation.age is not None and now - aside[name] > rotation.age
        if is_left_over or is_old:
            remove += [one for one in (name, name + COMPRESSED) if one in there]
        elif rotation.is_compressed and name in there:
            compress.append(name)
    return Tidying(sorted(remove), sorted(compress))


class Keeper(Protocol):
    """`housekeeping.Housekeeper`."""

    def ask(self, path: str, rotation: Rotation, /) -> None: ...


class Rotator:
    """The rotation of one file: asked by its `Output` when it is full. Nothing here raises or waits.

    on_trouble  told the path and the reason when a file cannot be put aside
    is_shared   other processes write to the file as well, so that its size is to be asked for
    """

    __slots__ = ("_keeper", "_on_trouble", "_wall", "is_shared", "rotation")

    def __init__(
        self,
        rotation: Rotation,
        keeper: Keeper,
        on_trouble: Callable[[str, str], None],
        *,
        is_shared: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.rotation = rotation
        self.is_shared = is_shared
        self._keeper = keeper
        self._on_trouble = on_trouble
        self._wall = wall

    def __repr__(self) -> str:
        return f"<Rotator {self.rotation}>"

    def tidy(self, path: str) -> None:
        """Have the files put aside earlier seen to."""
        if not path.startswith(_NEVER_ROTATED):
            self._keeper.ask(os.path.realpath(path), self.rotation)

    def swap(self, path: str, fd: int, reopen: Callable[[], int]) -> int | None:
        """Put the open file aside and open a new one in its place: its descriptor; None: go on with the old one.

        A symbolic link stays, what it leads to is put aside. If the path leads to another file by now, because
        somebody else has put ours aside, that one is opened.
        """
        if path.startswith(_NEVER_ROTATED):
            return None
        real = os.path.realpath(path)
        try:
            moved = self._move(real, fd)
            try:
                fresh = reopen()
            except OSError:
                if moved:
                    os.rename(moved, real)
                raise
        except OSError as error:
            self._on_trouble(path, error.strerror or str(error))
            return None
        self._keeper.ask(real, self.rotation)
        return fresh

    def _move(self, real: str, fd: int) -> str:
        """The new name of the file, or "" if it was not there."""
        ours = os.fstat(fd)
        try:
            there = os.stat(real)
        except FileNotFoundError:
            return ""
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            return ""
        milliseconds = int(self._wall() * 1000)
        while os.path.lexists(name := backup_name(real, milliseconds)) or os.path.lexists(name + COMPRESSED):
            milliseconds += 1
        os.rename(real, name)
        return name
