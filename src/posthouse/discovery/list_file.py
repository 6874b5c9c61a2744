"""The text of a list of backends -> its entries. Pure.

Plain lines, `#` comments:           A JSON array:
    web1.local:9000                      ["web1.local:9000",
    web2.local:9000 weight=3              {"to": "web2.local:9000", "weight": 3}]
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from posthouse.config.specs import HEAVIEST, EndpointSpec
from posthouse.discovery.ports import Members
from posthouse.errors import Place

MOST_MEMBERS: Final = 10_000
_KEYS: Final = ("to", "weight")
_ARRAY: Final = re.compile(r"[ \t\r\n]*\[(?![0-9A-Fa-f]*:)")
"""How an array begins; an IPv6 address begins with a bracket too."""
_JSON_BLANKS: Final = " \t\r\n"


class BrokenList(Exception):
    """A list that cannot be used. The text is its first mistake, with its place in front."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place


class _Entry(NamedTuple):
    to: str
    weight: int
    place: Place


Parse = Callable[[str, Place], list[EndpointSpec]]
"""The endpoints of a TO. Raises ValueError."""


def parse_list(text: str, name: str, parse: Parse, common: EndpointSpec) -> Members:
    """The members that the text of the file `name` names, in its order. Raises BrokenList.

    common  gives each its `max_conns` and `role`

    An empty text is broken, because that is what a writer leaves who was interrupted; `[]` is a list without members.
    """
    is_json = _ARRAY.match(text) is not None
    entries = _json_entries(text, name) if is_json else _line_entries(text, name)
    found: list[EndpointSpec] = []
    for entry in entries:
        for endpoint in _endpoints(entry, parse):
            found.append(replace(endpoint, weight=entry.weight, max_conns=common.max_conns, role=common.role))
            if len(found) > MOST_MEMBERS:
                raise BrokenList(entry.place, f"a list has at most {MOST_MEMBERS} backends")
    if not found and not is_json:
        raise BrokenList(
            Place(name, 1, 1), "there is no backend in it; a list that is meant to be empty is `[]`"
        )
    return tuple(found)


def _endpoints(entry: _Entry, parse: Parse) -> list[EndpointSpec]:
    try:
        endpoints = parse(entry.to, entry.place)
    except ValueError as wrong:
        raise BrokenList(entry.place, str(wrong)) from None
    if any(endpoint.credentials for endpoint in endpoints):
        raise BrokenList(
            entry.place, "credentials are not taken from a list: write `header_upstream Authorization …`"
        )
    return endpoints


def _line_entries(text: str, name: str) -> Iterator[_Entry]:
    for number, line in enumerate(text.split("\n"), 1):
        words = _uncommented(line)
        if not words:
            continue
        place = Place(name, number, len(line) - len(line.lstrip()) + 1)
        to, *options = words
        weight = 1
        for option in options:
            key, equals, value = option.partition("=")
            at = Place(name, number, line.index(option) + 1)
            if key != "weight" or not equals:
                raise BrokenList(at, f"expected a TO and perhaps `weight=N` on a line, found `{option}`")
            weight = _weight(
                int(value) if value.isascii() and value.isdigit() and len(value) < 6 else value, at
            )
        yield _Entry(to, weight, place)


def _uncommented(line: str) -> list[str]:
    """The words of a line before a word that begins with `#`: a comment starts where a word starts."""
    words: list[str] = []
    for word in line.split():
        if word.startswith("#"):
            break
        words.append(word)
    return words


def _json_entries(text: str, name: str) -> Iterator[_Entry]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as wrong:
        raise BrokenList(Place(name, wrong.lineno, wrong.colno), f"not JSON: {wrong.msg}") from None
    except (RecursionError, ValueError) as wrong:
        raise BrokenList(Place(name, 1, 1), f"not JSON: {wrong}") from None
    for value, at in zip(values, _starts(text), strict=True):
        place = Place(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        if isinstance(value, str):
            yield _Entry(value, 1, place)
        elif isinstance(value, dict):
            yield _object_entry(value, place)
        else:
            raise BrokenList(place, f"expected a TO or an object with `to`, found {json.dumps(value)[:40]}")


def _object_entry(value: dict[str, Any], place: Place) -> _Entry:
    for key in value:
        if key not in _KEYS:
            raise BrokenList(place, f"an entry has no `{key[:40]}`; there are `to` and `weight`")
    to = value.get("to")
    if not isinstance(to, str):
        raise BrokenList(place, "the `to` of an entry is missing, or is no text")
    return _Entry(to, _weight(value.get("weight", 1), place), place)


def _weight(value: object, place: Place) -> int:
    if type(value) is not int or not 1 <= value <= HEAVIEST:
        raise BrokenList(place, f"expected a weight from 1 to {HEAVIEST}, found {json.dumps(value)[:40]}")
    return value


def _starts(text: str) -> Iterator[int]:
    """Where each value of the array begins; `text` is known to be JSON."""
    decoder = json.JSONDecoder()
    at = _skip(text, text.index("[") + 1)
    while text[at] != "]":
        yield at
        _, end = decoder.raw_decode(text, at)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at] in _JSON_BLANKS:
        at += 1
    return at
