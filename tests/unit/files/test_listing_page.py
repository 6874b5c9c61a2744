from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.files.listing_page import Listing, Row, human_size, page

LISTING = Listing("/a/", (), "namedirfirst", "asc", 0, False, True)


def made(listing: Listing) -> bytes:
    """The whole page."""
    work = page(listing)
    while True:
        try:
            next(work)
        except StopIteration as end:
            assert isinstance(end.value, bytes)
            return end.value


class Reader(HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def row(name: str, is_folder: bool = False) -> Row:
    return Row(name, "./x", 1536, 86400.5, 0o644, is_folder, False)


def test_rows_and_counts() -> None:
    read = Reader(made(replace(LISTING, rows=[row("sub", True), row("a"), row("b")])))
    assert "1 folder, 2 files" in read.words
    assert "sub/" in read.words and "–" in read.words
    assert "1.5 KiB" in read.words and "1970-01-02 00:00:00 UTC" in read.words
    assert "../" in read.links


@pytest.mark.parametrize(
    ("sort", "order", "limit", "links"),
    [
        (
            "namedirfirst",
            "asc",
            0,
            ["?sort=namedirfirst&order=desc", "?sort=size&order=asc", "?sort=time&order=asc"],
        ),
        ("size", "desc", 0, ["?sort=namedirfirst&order=asc", "?sort=size&order=asc", "?sort=time&order=asc"]),
        (
            "time",
            "asc",
            5,
            [
                "?sort=namedirfirst&order=asc&limit=5",
                "?sort=size&order=asc&limit=5",
                "?sort=time&order=desc&limit=5",
            ],
        ),
    ],
)
def test_heads_turn_the_order_round(sort: str, order: str, limit: int, links: list[str]) -> None:
    read = Reader(made(replace(LISTING, sort=sort, order=order, limit=limit, has_parent=False)))
    assert read.links == links


def test_what_is_left_out_is_said() -> None:
    rows = [row("a")]
    assert b"shown" not in made(replace(LISTING, rows=rows))
    assert b"at most 1 are shown" in made(replace(LISTING, rows=rows, limit=1))
    assert b"this folder has more" in made(replace(LISTING, rows=rows, is_cut=True))


@given(st.text(max_size=20), st.text(st.characters(max_codepoint=127), max_size=10))
def test_names_are_text_whatever_they_are(name: str, more: str) -> None:
    plain = made(replace(LISTING, rows=[row("x")]))
    name = name.encode("utf-8", "replace").decode() + more
    odd = made(replace(LISTING, path=name + '<script>"', rows=[row(name + "</a><b>'")]))
    assert Reader(odd).tags == Reader(plain).tags


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 63, "8192.0 PiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text
