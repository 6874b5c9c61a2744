"""Reuse: what a configuration that was read before spares the reading of its next version.

Nothing is taken on trust: whatever is unclear raises CannotReuse, and the text is read as a whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from posthouse.caddyfile.imports import MAX_SIZE
from posthouse.caddyfile.lexer import MAX_TOKENS
from posthouse.caddyfile.parser import Block
from posthouse.caddyfile.unchanged import STAND_IN, Kept, Start, Unchanged, find_unchanged
from posthouse.config.places import moved
from posthouse.config.specs import Config, SiteSpec
from posthouse.errors import Notice, Place

_RENAMED = re.compile(r"#\d+\Z")


class Before(Protocol):
    """What was read before (`adapt.Adapted`)."""

    @property
    def config(self) -> Config: ...
    @property
    def sources(self) -> Mapping[str, str]: ...
    @property
    def words(self) -> Sequence[int]: ...


class CannotReuse(Exception):
    """Read all of it."""


class Reuse:
    """For one reading. `reduce` each file, `take` each block, `finish`."""

    def __init__(self, before: Before) -> None:
        self._before = before
        self._found: dict[str, Unchanged] = {}
        self._waiting: set[tuple[str, int]] = set()
        self._spared = 0
        self._sites: dict[str, list[tuple[int, Start]]] = {}
        self._notices: dict[str, list[Notice]] = {}
        places: set[Place] = set()
        for number, site in enumerate(before.config.sites):
            place = site.addresses[0].place if site.addresses else None
            if place is None or place in places:
                continue
            places.add(place)
            if not any(_RENAMED.search(route.pool.name) for route in site.routes):
                start = Start(place.line, place.column, len(site.addresses))
                self._sites.setdefault(place.file, []).append((number, start))
        for notice in before.config.notices:
            self._notices.setdefault(notice.place.file, []).append(notice)
        for of_file in self._notices.values():
            of_file.sort(key=lambda one: one.place)

    def reduce(self, file: str, text: str) -> str:
        """The text of a file with stand-ins for what has not changed. Raises CannotReuse."""
        if STAND_IN in text or file in self._found:
            raise CannotReuse
        old = self._before.sources.get(file)
        sites = self._sites.get(file, [])
        if old is None or not sites:
            return text
        can_import = len(self._before.sources) == 1 and self._is_quiet(file)
        found = find_unchanged(old, text, [start for _, start in sites], can_import=can_import)
        self._found[file] = found
        self._waiting.update((file, index) for index in found.kept)
        return found.text

    def take(self, block: Block) -> tuple[SiteSpec, Sequence[Notice], int] | None:
        """The site that a block is the stand-in of, the notices about it, and its words; None: it is none.

        Raises CannotReuse where a stand-in is not what it was put there as.
        """
        first = block.addresses[0]
        if not first.text.startswith(STAND_IN):
            return None
        file, index = first.place.file, int(first.text.removeprefix(STAND_IN))
        if (file, index) not in self._waiting:
            raise CannotReuse
        self._waiting.remove((file, index))
        found, (number, start) = self._found[file], self._sites[file][index]
        kept = found.kept[index]
        is_sound = len(block.addresses) == 1 and block.is_braced and not block.directives
        if not is_sound or (first.place.line, first.place.column) != (start.line + kept.shift, start.column):
            raise CannotReuse
        words = self._before.words[number]
        self._spared += words - block.words
        return *self._moved(number, kept, found), words

    def finish(self, sources: Mapping[str, str], words: int) -> None:
        """All is read, so many words. Raises CannotReuse if not all is there, or more than is allowed."""
        is_large = sum(map(len, sources.values())) > MAX_SIZE or words + self._spared > MAX_TOKENS
        if self._waiting or is_large:
            raise CannotReuse

    def _moved(self, number: int, kept: Kept, found: Unchanged) -> tuple[SiteSpec, Sequence[Notice]]:
        site = self._before.config.sites[number]
        file = site.addresses[0].place.file
        notices = self._notices_between(file, kept.first, kept.last)
        if not kept.shift:  # a snippet that it imports stands above it, and has not moved either
            return site, notices

        def move(place: Place) -> Place:
            return Place(file, found.line(place.line, kept), place.column) if place.file == file else place

        return moved(site, move), [replace(one, place=move(one.place)) for one in notices]

    def _notices_between(self, file: str, first: int, last: int) -> list[Notice]:
        notices = self._notices.get(file, [])
        begin = bisect_left(notices, first, key=lambda one: one.place.line)
        return notices[begin : bisect_right(notices, last, key=lambda one: one.place.line)]

    def _is_quiet(self, file: str) -> bool:
        """Whether no notice is about something outside the sites, such as a snippet that they import."""
        return not self._notices.get(file)
