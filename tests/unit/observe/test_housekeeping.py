"""Housekeeping: what was put aside is compressed and deleted in a thread, whatever interrupts it."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from posthouse.observe.housekeeping import Housekeeper
from posthouse.observe.rotation import Rotation, backup_name

NOW = 1_796_000_000.0
DAY = 86_400.0
TEXT = b"".join(b"line %d\n" % number for number in range(100_000))


class House:
    """A folder with files put aside, and who looks after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = str(folder / "access.log")
        self.troubles: list[tuple[str, str]] = []
        self.keeper = Housekeeper(
            lambda path, why: self.troubles.append((os.path.basename(path), why)), wall=lambda: NOW
        )

    def aside(self, days: float, ending: str = "", text: bytes = TEXT) -> Path:
        path = Path(backup_name(self.path, int((NOW - days * DAY) * 1000)) + ending)
        path.write_bytes(text)
        return path

    def tidy(self, rotation: Rotation) -> list[str]:
        self.keeper.ask(self.path, rotation)
        assert self.keeper.wait(10)
        return sorted(one.name for one in self.folder.iterdir())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_compressed_whole_with_mode_and_time_of_the_file(house: House) -> None:
    plain = house.aside(1)
    plain.chmod(0o640)
    os.utime(plain, (1000, 2000))
    assert house.tidy(Rotation(1, is_compressed=True)) == [plain.name + ".gz"]
    packed = Path(f"{plain}.gz")
    assert gzip.decompress(packed.read_bytes()) == TEXT
    status = packed.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o640, 2000)
    assert house.troubles == []


def test_deleted_by_age_and_count(house: House) -> None:
    kept, old, left_over = house.aside(1), house.aside(20, ".gz"), house.aside(2)
    other = house.folder / "access.log"
    other.write_bytes(b"now\n")
    assert house.tidy(Rotation(1, 14 * DAY, 1)) == sorted([kept.name, other.name])
    assert not old.exists() and not left_over.exists()


def test_what_a_crash_left_is_done_again(house: House) -> None:
    """Killed while it compressed; and killed between the last two steps, with a `.gz` that v1 left unfinished."""
    one, two = house.aside(1), house.aside(2)
    house.aside(1, ".gz.part", b"\x1f\x8b rubbish")
    house.aside(2, ".gz", b"\x1f\x8b rubbish")
    assert house.tidy(Rotation(1, is_compressed=True)) == sorted([one.name + ".gz", two.name + ".gz"])
    for path in (one, two):
        assert gzip.decompress(Path(f"{path}.gz").read_bytes()) == TEXT


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(house: House) -> None:
    plain = house.aside(1)
    victim = house.folder / "victim"
    victim.write_bytes(b"mine")
    Path(f"{plain}.gz.part").symlink_to(victim)
    house.tidy(Rotation(1, is_compressed=True))
    assert victim.read_bytes() == b"mine"
    assert gzip.decompress(Path(f"{plain}.gz").read_bytes()) == TEXT


def test_what_can_not_be_done_is_told_and_leaves_the_file(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = house.aside(1)

    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    assert house.tidy(Rotation(1, is_compressed=True)) == [plain.name]
    assert house.troubles == [(plain.name, "No space left on device")]
    assert plain.read_bytes() == TEXT


def test_a_folder_that_is_gone_is_told_and_the_next_is_tidied(house: House, tmp_path: Path) -> None:
    plain = house.aside(20)
    house.keeper.ask("/nowhere/access.log", Rotation(1))
    house.keeper.ask(house.path, Rotation(1, DAY))
    assert house.keeper.wait(10)
    assert not plain.exists()
    assert house.troubles == [("access.log", "No such file or directory")]


def test_many_logs_in_one_folder_keep_apart(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[object] = []
    listdir = os.listdir

    def remember(folder: str) -> list[str]:
        listed.append(folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", remember)
    names = ["a", "a-b", "ab", "b"]
    for name in names:
        for days in (1, 20):
            Path(backup_name(f"{house.folder}/{name}.log", int((NOW - days * DAY) * 1000))).write_bytes(b"x")
    with house.keeper._lock:
        house.keeper._asked.update(
            {f"{house.folder}/{name}.log": Rotation(1, 14 * DAY) for name in names[:3]}
        )
    left = house.tidy(Rotation(1))
    assert [name.partition("-20")[0] for name in left] == ["a", "a-b", "ab", "b", "b"]
    assert listed.count(str(house.folder)) == 1


def test_a_stop_cuts_it_short_and_leaves_nothing_half_done(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = house.aside(1)
    began, go_on = threading.Event(), threading.Event()
    fchmod = os.fchmod

    def wait(fd: int, mode: int) -> None:
        fchmod(fd, mode)
        began.set()
        go_on.wait(10)

    monkeypatch.setattr(os, "fchmod", wait)
    house.keeper.ask(house.path, Rotation(1, is_compressed=True))
    assert began.wait(10)
    assert "working" in repr(house.keeper)
    house.keeper.stop(0.0)
    go_on.set()
    house.keeper.stop(10)
    assert house.keeper.wait(10)
    assert [one.name for one in house.folder.iterdir()] == [plain.name]
    house.keeper.ask(house.path, Rotation(1, 0.0))
    assert plain.exists(), "nothing is begun any more"
    assert repr(house.keeper) == "<Housekeeper asked=0 idle>"


CRASHING = """
import sys
from posthouse.observe.housekeeping import Housekeeper
from posthouse.observe.rotation import Rotation

keeper = Housekeeper(print)
keeper.ask(sys.argv[1], Rotation(1, is_compressed=True))
keeper.wait(60)
"""


def test_killed_while_it_compresses_it_loses_nothing(house: House) -> None:
    """Should the kill come late, on a busy machine, there is nothing left to do."""
    text = TEXT * 20
    plain = house.aside(1, text=text)
    unfinished, packed = Path(f"{plain}.gz.part"), Path(f"{plain}.gz")
    with subprocess.Popen([sys.executable, "-c", CRASHING, house.path]) as process:
        while not (unfinished.exists() or packed.exists()):
            assert process.poll() is None
        process.kill()
    assert house.tidy(Rotation(1, is_compressed=True)) == [packed.name]
    assert gzip.decompress(packed.read_bytes()) == text
