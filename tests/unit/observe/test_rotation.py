"""Rotation: names, what becomes of old files, and the moment itself."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.observe.output import Output
from posthouse.observe.rotation import Rotation, Rotator, Tidying, backup_name, backup_time, judge

NOW = 1_796_000_000.0
DAY = 86_400.0


class Keeper:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Rotation]] = []

    def ask(self, path: str, rotation: Rotation) -> None:
        self.asked.append((path, rotation))


class Desk:
    """An output in a folder that rotates at so many bytes, on a clock that stands still."""

    def __init__(self, path: Path, size: int, name: str = "") -> None:
        self.path = path
        self.keeper = Keeper()
        self.troubles: list[tuple[str, str]] = []
        self.output = Output(name or str(path))
        self.output.rotator = Rotator(
            Rotation(size), self.keeper, lambda path, why: self.troubles.append((path, why)), wall=lambda: NOW
        )

    def files(self) -> list[bytes]:
        """What is in the files, the oldest first."""
        aside = sorted(one for one in self.path.parent.iterdir() if one.name.startswith("access-"))
        return [one.read_bytes() for one in aside] + [self.path.read_bytes()]


# -- names


def test_names_are_those_of_v1() -> None:
    assert re.fullmatch(
        r"/var/log/access-2026-11-3\dT\d\d-\d\d-\d\d\.007\.log",
        backup_name("/var/log/access.log", int(NOW * 1000) + 7),
    )
    assert backup_name("access", 0).startswith("access-19")
    assert backup_name("a.b/access", 0).startswith("a.b/access-19")


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(["access.log", "a", "a-b.c.txt"]))
def test_a_name_tells_its_time(milliseconds: int, path: str) -> None:
    name = backup_name(path, milliseconds)
    for ending in ("", ".gz", ".gz.part"):
        when = backup_time("/x/" + path, name + ending)
        # An hour that a zone has twice in autumn is named twice.
        assert when is not None and round(when * 1000 - milliseconds) % 3_600_000 == 0


@pytest.mark.parametrize(
    "name",
    [
        "access.log",
        "access.log.1",
        "access-.log",
        "access-2026-11-24.log",
        "access-2026-11-24T12-00-00.log",
        "access-2026-11-24T12-00-00.00.log",
        "access-2026-13-24T12-00-00.000.log",
        "access-2026-11-24T12-00-00.000.txt",
        "access-2026-11-24T12-00-00.000.log.bz2",
        "access-x-2026-11-24T12-00-00.000.log",
        "other-2026-11-24T12-00-00.000.log",
    ],
)
def test_other_files_are_left_alone(name: str) -> None:
    assert backup_time("access.log", name) is None
    assert judge("access.log", [name], Rotation(1, 0.0, 0, True), NOW) == ([], [])


# -- what becomes of them


def aged(days: float) -> str:
    return backup_name("access.log", int((NOW - days * DAY) * 1000))


def test_by_count_the_newest_stay() -> None:
    names = [aged(1), aged(2), aged(3) + ".gz", aged(4)]
    assert judge("access.log", names, Rotation(1, None, 2), NOW) == Tidying(
        sorted([aged(3) + ".gz", aged(4)]), []
    )
    assert judge("access.log", names, Rotation(1, None, 4), NOW) == ([], [])
    assert judge("access.log", names, Rotation(1, None, 3), NOW).remove == [aged(4)]


def test_by_age_on_both_sides_of_the_limit() -> None:
    names = [aged(13.9), aged(14.1), aged(15) + ".gz"]
    assert judge("access.log", names, Rotation(1, 14 * DAY), NOW).remove == sorted(
        [aged(14.1), aged(15) + ".gz"]
    )
    assert judge("access.log", names, Rotation(1), NOW) == ([], [])


def test_a_file_and_its_compressed_form_count_once() -> None:
    names = [aged(1), aged(1) + ".gz", aged(2)]
    assert judge("access.log", names, Rotation(1, None, 2), NOW).remove == []
    assert judge("access.log", names, Rotation(1, None, 1), NOW).remove == [aged(2)]
    assert judge("access.log", names, Rotation(1, 0.0), NOW).remove == sorted(names)


def test_what_is_not_compressed_will_be_and_what_is_unfinished_is_done_again() -> None:
    names = ["access.log", aged(1), aged(2) + ".gz", aged(3), aged(3) + ".gz.part", aged(4), aged(4) + ".gz"]
    tidying = judge("access.log", names, Rotation(1, is_compressed=True), NOW)
    assert tidying.remove == [aged(3) + ".gz.part"]
    assert tidying.compress == sorted([aged(1), aged(3), aged(4)])


# -- the moment


def test_the_size_is_never_passed_and_no_line_lost_or_torn(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "access.log", 100)
    lines = [b"%d " % number + b"x" * (number % 40) + b"\n" for number in range(1000)]
    for at in range(0, 1000, 7):
        assert desk.output.send(b"".join(lines[at : at + 7]))
    desk.output.close()
    files = desk.files()
    assert b"".join(files) == b"".join(lines)
    assert all(file.endswith(b"\n") and len(file) <= 100 for file in files)
    assert len(desk.keeper.asked) == len(files) - 1 > 100
    assert desk.troubles == []


def test_on_both_sides_of_the_size(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "access.log", 10)
    desk.output.send(b"12345678\n")
    desk.output.send(b"\n")
    assert desk.files() == [b"12345678\n\n"]
    desk.output.send(b"\n")
    assert desk.files() == [b"12345678\n\n", b"\n"]
    desk.output.close()


def test_a_longer_line_has_a_file_of_its_own(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "access.log", 10)
    desk.output.send(b"1\n" + b"x" * 50 + b"\n2\n")
    assert desk.files() == [b"1\n", b"x" * 50 + b"\n", b"2\n"]
    desk.output.close()


def test_what_is_there_at_the_start_counts(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(b"12345678\n")
    desk = Desk(tmp_path / "access.log", 10)
    desk.output.send(b"ab\n")
    assert desk.files() == [b"12345678\n", b"ab\n"]
    desk.output.close()


def test_two_in_one_millisecond_have_two_names(tmp_path: Path) -> None:
    (tmp_path / Path(backup_name("access.log", int(NOW * 1000)) + ".gz")).write_bytes(b"earlier")
    desk = Desk(tmp_path / "access.log", 2)
    desk.output.send(b"1\n2\n3\n")
    assert desk.files() == [b"earlier", b"1\n", b"2\n", b"3\n"]
    desk.output.close()


def test_a_file_put_aside_by_somebody_else_is_not_put_aside_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "access.log", 4)
    desk.output.send(b"1\n2\n")
    os.rename(desk.path, tmp_path / "mine")
    desk.output.send(b"3\n")
    assert ((tmp_path / "mine").read_bytes(), desk.files()) == (b"1\n2\n", [b"3\n"])
    os.rename(desk.path, tmp_path / "mine too")
    desk.path.write_bytes(b"x\n")
    desk.output.send(b"4\n5\n")
    assert ((tmp_path / "mine too").read_bytes(), desk.files()) == (b"3\n4\n", [b"x\n5\n"])
    desk.output.close()


def test_a_file_that_somebody_emptied_goes_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "access.log", 4)
    desk.output.send(b"1\n2\n")
    os.truncate(desk.path, 0)
    desk.output.send(b"3\n4\n5\n")
    assert desk.files() == [b"3\n4\n", b"5\n"]
    desk.output.close()


def test_reopening_and_rotating_go_together(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "access.log", 4)
    desk.output.send(b"1\n2\n")
    os.rename(desk.path, tmp_path / "mine")
    desk.output.reopen()
    desk.output.send(b"3\n4\n5\n")
    assert desk.files() == [b"3\n4\n", b"5\n"]
    assert (tmp_path / "mine").read_bytes() == b"1\n2\n"
    desk.output.close()


def test_a_link_stays_and_what_it_leads_to_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "access.log")
    desk = Desk(tmp_path / "access.log", 4, str(tmp_path / "link"))
    desk.output.send(b"1\n2\n3\n")
    assert (tmp_path / "link").is_symlink()
    assert desk.files() == [b"1\n2\n", b"3\n"]
    assert desk.keeper.asked[0][0] == str(tmp_path / "access.log")
    desk.output.close()


def test_a_file_that_can_not_be_put_aside_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path / "access.log", 4)

    def refuse(old: str, new: str) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        assert desk.output.send(b"1\n2\n3\n4\n")
    assert desk.files() == [b"1\n2\n3\n4\n"]
    assert desk.troubles == [(str(desk.path), "Permission denied")]
    desk.output.send(b"5\n")
    assert desk.files() == [b"1\n2\n3\n4\n", b"5\n"], "it is tried again"
    desk.output.close()


def test_if_no_new_file_can_be_opened_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "access.log", 4)
    desk.output.send(b"1\n2\n")

    def refuse(*args: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        desk.output.send(b"3\n")
    assert desk.files() == [b"1\n2\n3\n"]
    assert desk.troubles == [(str(desk.path), "Too many open files")]
    desk.output.close()


def test_what_a_full_disk_held_back_is_not_torn_by_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "access.log", 8)
    write = os.write

    def refuse(fd: int, data: bytes) -> int:
        if len(data) > 3:
            return write(fd, data[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        assert not desk.output.send(b"12345\n")
        assert not desk.output.send(b"67\n")
    assert desk.output.send(b"89\n")
    assert b"".join(desk.files()) == b"12345\n67\n89\n"
    assert all(file.endswith(b"\n") for file in desk.files())
    desk.output.close()


def test_the_size_is_not_passed_by_what_a_full_disk_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "access.log", 10)
    assert desk.output.send(b"1\n")

    def refuse(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        for number in range(2, 10):
            assert not desk.output.send(b"%d23\n" % number)
    assert desk.output.send(b"last\n")
    assert (
        b"".join(desk.files()) == b"1\n" + b"".join(b"%d23\n" % number for number in range(2, 10)) + b"last\n"
    )
    assert max(map(len, desk.files())) <= 10
    desk.output.close()


def test_devices_are_not_rotated(tmp_path: Path) -> None:
    keeper = Keeper()
    rotator = Rotator(Rotation(1), keeper, lambda path, why: None)
    rotator.tidy("/dev/stdout")
    assert rotator.swap("/dev/stdout", 1, lambda: 1 // 0) is None
    assert keeper.asked == []
    rotator.tidy("a.log")
    assert keeper.asked == [(os.path.realpath("a.log"), Rotation(1))]


def test_a_rotator_introduces_itself() -> None:
    rotator = Rotator(Rotation(1), Keeper(), lambda path, why: None)
    assert repr(rotator) == "<Rotator Rotation(size=1, age=None, keep=None, is_compressed=False)>"


# -- a file that others write to as well


def test_what_others_have_written_counts(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "access.log", 10)
    assert desk.output.rotator is not None
    desk.output.rotator.is_shared = True
    desk.output.send(b"12345\n")
    with open(desk.path, "ab") as other:
        other.write(b"other\n")
    desk.output.send(b"next\n")
    assert desk.files() == [b"12345\nother\n", b"next\n"]
    desk.output.close()


@pytest.mark.parametrize(("size", "files"), [(13, 1), (12, 2)])
def test_it_looks_although_it_has_nothing_to_write(tmp_path: Path, size: int, files: int) -> None:
    desk = Desk(tmp_path / "access.log", size)
    desk.output.send(b"12345\n")
    with open(desk.path, "ab") as other:
        other.write(b"other\n")
    desk.output.look()
    assert len(desk.files()) == files
    assert len(desk.keeper.asked) == files - 1
    desk.output.close()
    desk.output.look()
    plain = Output(str(tmp_path / "plain.log"))
    assert plain.look() == math.inf
    plain.close()


def test_a_look_tells_how_much_of_the_same_fits(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "access.log", 40)
    looks = []
    with open(desk.path, "ab", buffering=0) as other:
        for line in (b"123456789\n", b"", b"1234\n", b"123456789012345678901234\n"):
            other.write(line)
            looks.append(desk.output.look())
    assert looks == [3.0, math.inf, 5.0, 0.0]
    assert desk.output.look() == math.inf, "a new one"
    desk.output.close()
