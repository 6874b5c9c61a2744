"""`errors`: which page goes with which status, and what becomes of one that cannot be used."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest

from posthouse.observe.error_log import ErrorLog
from posthouse.observe.process_log import ProcessLog
from posthouse.proxy.error_pages import ANY, PAGE_BYTES, ErrorHandler, ErrorPages

HTML = b"text/html; charset=utf-8"


class Desk:
    """A folder with pages, and the process log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stream = io.StringIO()

    def pages(self, pages: dict[int, str]) -> ErrorPages:
        return ErrorPages(pages, str(self.folder), ProcessLog(self.stream))

    def write(self, name: str, text: bytes) -> None:
        (self.folder / name).write_bytes(text)

    def reports(self) -> list[str]:
        return [line[25:] for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.write("404.html", b"<p>lost</p>")
    made.write("any.html", b"<p>any</p>")
    return made


def test_the_page_of_the_status_else_the_one_for_all(desk: Desk) -> None:
    pages = desk.pages({404: "404.html", ANY: "any.html"})
    assert pages.find(404) == (HTML, b"<p>lost</p>")
    assert pages.find(502) == (HTML, b"<p>any</p>")
    assert desk.pages({404: "404.html"}).find(502) is None
    assert pages.missing() == []
    assert desk.reports() == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", HTML),
        ("a.HTM", HTML),
        ("a", HTML),
        ("a.json", b"application/json"),
        ("a.TXT", b"text/plain; charset=utf-8"),
        ("a.xml", b"application/xml"),
    ],
)
def test_the_ending_tells_the_type(desk: Desk, name: str, kind: bytes) -> None:
    desk.write(name, b"x")
    assert desk.pages({ANY: name}).find(500) == (kind, b"x")


def test_an_absolute_name_is_taken_as_it_is(desk: Desk, tmp_path: Path) -> None:
    pages = ErrorPages({404: str(tmp_path / "404.html")}, "/nowhere", ProcessLog(desk.stream))
    assert pages.find(404) == (HTML, b"<p>lost</p>")


def test_without_a_root_the_working_folder_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    assert ErrorPages({404: "404.html"}, "", ProcessLog(desk.stream)).find(404) is not None


def test_a_new_page_counts_at_once(desk: Desk) -> None:
    pages = desk.pages({404: "404.html"})
    assert pages.find(404) == (HTML, b"<p>lost</p>")
    desk.write("404.new", b"<p>gone</p>")
    os.replace(desk.folder / "404.new", desk.folder / "404.html")
    assert pages.find(404) == (HTML, b"<p>gone</p>")


def test_an_unchanged_page_is_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = desk.pages({404: "404.html"})
    first = pages.find(404)
    second = pages.find(404)
    assert first is not None and second is not None
    assert first[1] is second[1]


def test_a_page_that_is_missing_is_told_once_and_comes_back(desk: Desk) -> None:
    pages = desk.pages({404: "no.html"})
    assert pages.missing() == [(f"{desk.folder}/no.html", "No such file or directory")]
    assert [pages.find(404), pages.find(404)] == [None, None]
    assert desk.reports() == [
        f'ERROR error page not used page={desk.folder}/no.html error="No such file or directory"'
    ]
    desk.write("no.html", b"there")
    assert pages.find(404) == (HTML, b"there")


def test_the_limit_on_both_sides(desk: Desk) -> None:
    desk.write("large.html", b"x" * PAGE_BYTES)
    desk.write("larger.html", b"x" * (PAGE_BYTES + 1))
    pages = desk.pages({404: "large.html", 500: "larger.html"})
    assert pages.find(404) == (HTML, b"x" * PAGE_BYTES)
    assert pages.find(500) is None
    assert f"it has {PAGE_BYTES + 1} bytes, more than {PAGE_BYTES}" in desk.reports()[0]


def test_what_is_no_file_is_not_opened(desk: Desk) -> None:
    os.mkfifo(desk.folder / "fifo")
    pages = desk.pages({404: "fifo", 500: "."})
    assert (pages.find(404), pages.find(500)) == (None, None)
    assert [why for _, why in pages.missing()] == ["it is not a regular file"] * 2


def test_pages_introduce_themselves(desk: Desk) -> None:
    assert repr(desk.pages({404: "x"})) == f"<ErrorPages {{404: '{desk.folder}/x'}}>"


# -- the handler


class Lines(list[bytes]):
    def write(self, line: bytes) -> None:
        self.append(line)


def test_errors_have_pages_and_successes_have_none(desk: Desk) -> None:
    handler = ErrorHandler(desk.pages({ANY: "any.html"}), ErrorLog(Lines()))
    assert handler.body(399, "/", "") is None
    assert handler.body(400, "/", "") == (HTML, b"<p>any</p>")
    assert handler.body(302, "/", "") is None


def test_the_line_goes_to_the_log(desk: Desk) -> None:
    lines = Lines()
    handler = ErrorHandler(desk.pages({404: "404.html"}), ErrorLog(lines))
    handler.log(502, "/a", "refused")
    assert re.fullmatch(rb"\S+ \S+ \[ERROR 502 /a\] refused\n", lines[0])
    assert handler.body(502, "/a", "refused") is None


def test_visible_errors_go_to_the_client_instead(desk: Desk) -> None:
    handler = ErrorHandler(desk.pages({ANY: "any.html"}), None, is_visible=True, wall=lambda: 0.0)
    handler.log(502, "/a", "refused")
    kind, body = handler.body(502, "/a b", "refused by 127.0.0.1:9000") or (b"", b"")
    assert kind == b"text/plain; charset=utf-8"
    assert re.fullmatch(rb"\S+ \S+ \[ERROR 502 /a\\x20b\] refused by 127\.0\.0\.1:9000\n", body)
    assert handler.body(404, "/", "") == (HTML, b"<p>any</p>"), "nothing went wrong"
