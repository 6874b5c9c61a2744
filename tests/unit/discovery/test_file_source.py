"""The file that is watched: the laws of sources, and files that are half written, gone, or too large."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from posthouse.discovery.file_source import MOST_BYTES, MOST_LOOKS, FileSource
from posthouse.discovery.ports import Members, Report
from posthouse.testing import Hourglass, check_source
from unit.discovery.fakes import FakeServices, source_spec


class FileWorld:
    def __init__(self, path: Path, broken: str | None) -> None:
        self._path = path
        self._broken = broken

    def tell(self, backends: Sequence[int]) -> None:
        self._path.write_text("".join(f"h{number}:80\n" for number in backends) or "[]")

    def fail(self) -> None:
        if self._broken is None:
            self._path.unlink(missing_ok=True)
        else:
            self._path.write_text(self._broken)


@pytest.mark.parametrize("broken", [None, "h1:80\nh2:x\n", "", "[", "\ud800"], ids=repr)
def test_the_laws_of_sources(tmp_path: Path, broken: str | None) -> None:
    def make(hourglass: Hourglass, report: Report) -> tuple[FileSource, FileWorld]:
        path = tmp_path / "list"
        path.unlink(missing_ok=True)
        source = FileSource(source_spec(f"file:{path}"), FakeServices(hourglass), report)
        return source, FileWorld(path, broken if broken != "\ud800" else "h1\x00")

    check_source(make, has_order=True)


class Watched:
    """A file and a source that looks at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hourglass = Hourglass()
        self.reports: list[str] = []
        self.sets: list[Members] = []
        self.source = FileSource(
            source_spec(f"file:{path}"), FakeServices(self.hourglass), self.reports.append
        )

    async def __aenter__(self) -> Watched:
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self.hourglass.settle()
        return self

    async def __aexit__(self, *why: object) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        async for members in self.source.sets():
            self.sets.append(members)

    def hosts(self) -> list[str]:
        return [member.host for member in self.sets[-1]]


def test_a_file_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("a:1\nb:1\n")

    async def main() -> None:
        async with Watched(path) as one:
            path.write_text("a:1\n")
            await one.hourglass.turn()
            path.write_text("a:1\nb:1\nc:1\n")
            await one.hourglass.turn()
            assert one.hosts() == ["a", "b"], "it looked different at each look"
            await one.hourglass.turn()
            assert one.hosts() == ["a", "b", "c"]
            assert len(one.sets) == 2

    asyncio.run(main())


def test_a_file_that_never_rests_is_read_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("a:1\n")

    async def main() -> None:
        async with Watched(path) as one:
            for number in range(MOST_LOOKS + 2):
                path.write_text("a:1\n" + "b:1\n" * (number + 1))
                await one.hourglass.turn()
            assert len(one.sets) > 1

    asyncio.run(main())


def test_a_file_that_is_replaced(tmp_path: Path) -> None:
    """The same size and time: what has changed is which file it is."""
    path, other = tmp_path / "list", tmp_path / "other"
    for file, text in ((path, "a:1\n"), (other, "b:1\n")):
        file.write_text(text)
        os.utime(file, ns=(1, 1))

    async def main() -> None:
        async with Watched(path) as one:
            os.replace(other, path)
            await one.hourglass.turn()
            await one.hourglass.turn()
            assert one.hosts() == ["b"]

    asyncio.run(main())


@pytest.mark.parametrize(("size", "is_read"), [(MOST_BYTES, True), (MOST_BYTES + 1, False)])
def test_the_size_of_a_list(tmp_path: Path, size: int, is_read: bool) -> None:
    path = tmp_path / "list"
    path.write_text("a:1\n#".ljust(size))

    async def main() -> None:
        async with Watched(path) as one:
            assert bool(one.sets) == is_read
            assert one.reports == ([""] if is_read else [f"{path}: larger than 1MB"])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a:1\n\xff\n", ":2:1: not UTF-8"),
        (b"a:1\nb:x\n", ":2:1: `b:x` is not a backend's address"),
        (None, ": No such file or directory"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, data: bytes | None, reason: str) -> None:
    path = tmp_path / "list"
    if data is not None:
        path.write_bytes(data)

    async def main() -> None:
        async with Watched(path) as one:
            await one.hourglass.turn()
            assert len(one.reports) == 1, "it is read again only when it has changed"
            assert one.reports[0].startswith(f"{path}{reason}")
            assert one.sets == []
            assert repr(one.source) == f"<FileSource file:{path}>"

    asyncio.run(main())


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"\xef\xbb\xbfa:1\n")

    async def main() -> None:
        async with Watched(path) as one:
            assert one.hosts() == ["a"]

    asyncio.run(main())
