"""Watching files: looks on a fake loop's clock, changes on a real disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from posthouse.server.watch import EVERY_SECONDS, Watch, look


class Timer:
    def __init__(self, loop: Clock, callback: Callable[[], None]) -> None:
        self._loop = loop
        self.callback = callback

    def cancel(self) -> None:
        self._loop.timer = None


class Clock:
    """A loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.timer: Timer | None = None

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        assert delay == EVERY_SECONDS
        self.timer = Timer(self, callback)
        return self.timer

    def pass_a_second(self) -> None:
        assert self.timer is not None
        self.timer.callback()


class Folder:
    """A folder with a Caddyfile in it, watched; `changes` counts what was noticed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.caddyfile = path / "Caddyfile"
        self.caddyfile.write_text(":80\n")
        self.files = [str(self.caddyfile)]
        self.changes = 0
        self.clock = Clock()
        self.watch = Watch(lambda: self.files, self._changed, cast(asyncio.AbstractEventLoop, self.clock))

    def _changed(self) -> None:
        self.changes += 1

    def noticed(self) -> bool:
        before = self.changes
        self.clock.pass_a_second()
        return self.changes > before


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_nothing_happens_nothing_is_told(folder: Folder) -> None:
    assert not folder.noticed()
    assert not folder.noticed()


def test_a_change_is_told_once(folder: Folder) -> None:
    folder.caddyfile.write_text(":8080\n")
    assert folder.noticed()
    assert not folder.noticed()


def test_same_size_other_time(folder: Folder) -> None:
    folder.caddyfile.write_text(":81\n")
    os.utime(folder.caddyfile, ns=(1, 1))
    assert folder.noticed()


def test_replaced_by_an_editor(folder: Folder) -> None:
    fresh = folder.path / "Caddyfile~"
    fresh.write_text(":80\n")
    assert folder.noticed()
    fresh.rename(folder.caddyfile)
    assert folder.noticed()


def test_gone_and_back(folder: Folder) -> None:
    folder.caddyfile.unlink()
    assert folder.noticed()
    folder.caddyfile.write_text(":80\n")
    assert folder.noticed()


def test_a_further_file_in_the_folder(folder: Folder) -> None:
    (folder.path / "more.caddy").write_text("")
    assert folder.noticed()


def test_files_that_a_reload_brought_are_watched(
    folder: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    imported = tmp_path_factory.mktemp("sites") / "a.caddy"
    imported.write_text("")
    folder.files.append(str(imported))
    assert folder.noticed()
    imported.write_text("log stdout\n")
    assert folder.noticed()


def test_stopped_is_stopped(folder: Folder) -> None:
    folder.watch.stop()
    assert folder.clock.timer is None


def test_what_changed_before_the_watch_began_is_noticed(folder: Folder) -> None:
    """A start may take long, and the file was read before it."""
    seen = look(folder.files)
    folder.caddyfile.write_text(":80\nlog stdout\n")
    told: list[bool] = []
    Watch(lambda: folder.files, lambda: told.append(True), folder.clock, seen)  # type: ignore[arg-type]
    folder.clock.pass_a_second()
    assert told == [True]
