"""`gzip`: for whom, which responses, what becomes of their fields, and the bytes."""

from __future__ import annotations

import gzip
import zlib

import pytest

from posthouse.config.specs import GzipSpec
from posthouse.protocol.fields import Field
from posthouse.protocol.target import Targets
from posthouse.proxy.answer import Compression, Encoder
from posthouse.proxy.compression import (
    Encoders,
    GzipCompression,
    GzipEncoder,
    SiteCompressions,
    extension,
    is_accepted,
)
from posthouse.proxy.site import Compressions
from unit.proxy.samples import read_head

TEXT = b"All work and no play makes Jack a dull boy.\n" * 100


def compression(spec: GzipSpec | None = None, encoders: Encoders | None = None) -> GzipCompression:
    return GzipCompression(spec or GzipSpec(), Targets(), encoders or Encoders())


def begin(
    *lines: str,
    status: int = 200,
    length: int = 4400,
    accepts: str = "gzip",
    asked: str = "",
    made: GzipCompression | None = None,
) -> tuple[list[str], bool]:
    """What becomes of a response with these field lines, and whether it is coded."""
    head = read_head(f"GET / HTTP/1.1\nHost: x\nAccept-Encoding: {accepts}\n{asked}")
    fields = [Field(*(part.encode() for part in line.split(": ", 1))) for line in lines]
    found, encoder = (made or compression()).begin(head, status, fields, length)
    return [field.wire.decode().strip() for field in found], encoder is not None


# -- for whom -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("gzip", True),
        ("GZip", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.1, br", True),
        ("gzip;q=1.000", True),
        ("gzip ; q=0.5", True),
        ("*", True),
        ("br;q=1.0, *;q=0.1", True),
        ("identity, gzip", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("*;q=0, gzip", True),
        ("", False),
        ("br, deflate", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0.5, identity;q=0.6", False),
        ("gzip, x-gzip;q=0", False),
        ("gzip;q=2", False),
        ("gzip;q=", False),
        ("gzip;q=0.1234", False),
        ("gzip;level=9", False),
        ("gzipped", False),
        ("identity", False),
        ("br, " * 50 + "gzip", True),
        ("br, " * 50 + "gzip;q=0", False),
    ],
)
def test_who_asks_for_it(value: str, wanted: bool) -> None:
    assert is_accepted(value.encode()) is wanted


def test_without_the_field_nobody_asked() -> None:
    assert not is_accepted(None)


def test_lines_of_the_field_are_one_list() -> None:
    head = read_head("GET / HTTP/1.1\nHost: x\nAccept-Encoding: br\nAccept-Encoding: gzip")
    assert compression().begin(head, 200, [], 4400)[1] is not None


# -- which paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("/", ""),
        ("/a.html", ".html"),
        ("/a.tar.gz", ".gz"),
        ("/a.b/c", ""),
        ("/.profile", ".profile"),
        ("/a.", "."),
    ],
)
def test_extensions_are_those_of_the_last_segment(key: str, found: str) -> None:
    assert extension(key) == found


def test_the_first_line_that_takes_the_path() -> None:
    lines = [
        compression(GzipSpec((".html",), ("/raw",), 9)),
        compression(GzipSpec(("*",), ("/raw", "/Images/"), 1)),
    ]
    site: Compressions = SiteCompressions(lines)
    assert site.find("/a.html") is lines[0]
    assert site.find("/a.css") is lines[1]
    assert site.find("/images") is lines[1]
    assert site.find("/images/a.html") is lines[0]
    assert site.find("/images/a.css") is None
    assert site.find("/rawest/a.html") is None, "a prefix, as everywhere"


def test_paths_are_compared_as_they_are_matched_everywhere() -> None:
    spec = GzipSpec((".HTML",), ("/Raw//x",))
    assert compression(spec).takes("/a.html")
    assert not compression(spec).takes("/raw/x/a.html")
    exact = GzipCompression(spec, Targets(is_case_sensitive=True), Encoders())
    assert not exact.takes("/a.html")
    assert exact.takes("/a.HTML")
    assert not exact.takes("/Raw/x/a.HTML")


def test_the_extensions_of_v1_are_the_default() -> None:
    takes = compression().takes
    assert takes("/") and takes("/api/users") and takes("/a.json") and takes("/a.svg")
    assert not takes("/a.png") and not takes("/a.zip") and not takes("/a.woff2")


# -- which responses -----------------------------------------------------------------------------------------------

CODED = ["Content-Encoding: gzip"]


@pytest.mark.parametrize(
    "line",
    [
        "Content-Type: text/html; charset=utf-8",
        "Content-Type: application/json",
        "Content-Type: image/svg+xml",
        "Content-Type: IMAGE/X-ICON",
        "Content-Type: application/octet-stream",
        "Content-Encoding: identity",
        "Cache-Control: no-cache, max-age=0",
        "X-Accel-Buffering: yes",
        "X-Other: gzip",
    ],
)
def test_coded(line: str) -> None:
    fields, is_coded = begin(line)
    assert is_coded
    kept = [] if line.startswith("Content-Encoding") else [line]
    assert fields == [*kept, "Vary: Accept-Encoding", *CODED]


@pytest.mark.parametrize(
    "line",
    [
        "Content-Encoding: gzip",
        "Content-Encoding: br",
        "Content-Encoding: identity, br",
        "Content-Encoding: unheard-of",
        "Content-Range: bytes 0-9/100",
        "Cache-Control: public, No-Transform",
        "Content-Type: image/png",
        "Content-Type: audio/ogg",
        "Content-Type: video/mp4",
        "Content-Type: font/woff2",
        "Content-Type: application/zip",
        "Content-Type: application/epub+zip",
        "Content-Type: application/vnd.oasis.opendocument.text",
        "Content-Type: application/pdf",
        "Content-Type: text/event-stream",
        "Content-Type: Text/Event-Stream; charset=utf-8",
        "Content-Type: application/grpc",
        "Content-Type: application/grpc-web+proto",
        "Content-Type: multipart/x-mixed-replace; boundary=x",
        "Content-Type: application/x-ndjson",
        "Content-Type: application/stream+json",
        "Content-Type: application/jsonl",
        "X-Accel-Buffering: NO",
    ],
)
def test_never_coded(line: str) -> None:
    """For no client, so there is nothing to say about it either."""
    lines = [line, 'ETag: "a"', "Accept-Ranges: bytes"]
    assert begin(*lines) == (lines, False)


def test_every_line_of_a_field_counts() -> None:
    assert not begin("Cache-Control: no-cache", "Cache-Control: no-transform")[1]
    assert not begin("Content-Encoding: identity", "Content-Encoding: br")[1]


@pytest.mark.parametrize("status", [200, 201, 203, 299, 301, 404, 500, 503])
def test_any_status_with_a_body(status: int) -> None:
    assert begin(status=status)[1]


@pytest.mark.parametrize("status", [100, 101, 103, 204, 205])
def test_a_status_without_a_body_is_left_alone(status: int) -> None:
    assert begin('ETag: "a"', status=status, length=0) == (['ETag: "a"'], False)


def test_a_range_is_never_coded_but_the_whole_might_have_been() -> None:
    assert begin("Content-Range: bytes 0-9/100", status=206) == (
        ["Content-Range: bytes 0-9/100", "Vary: Accept-Encoding"],
        False,
    )
    lines = ["Content-Type: video/mp4", "Content-Range: bytes 0-9/100"]
    assert begin(*lines, status=206) == (lines, False)


@pytest.mark.parametrize(
    ("length", "wanted"), [(0, False), (1, False), (511, False), (512, True), (-1, True)]
)
def test_short_bodies_are_left_alone(length: int, wanted: bool) -> None:
    fields, is_coded = begin(length=length)
    assert is_coded is wanted
    assert "Vary: Accept-Encoding" in fields


def test_min_length_is_the_sites() -> None:
    made = compression(GzipSpec(min_length=10))
    assert [begin(length=length, made=made)[1] for length in (9, 10)] == [False, True]


# -- fields --------------------------------------------------------------------------------------------------------


def test_who_does_not_get_it_coded_is_told_that_others_do() -> None:
    lines = ['ETag: "a"', "Accept-Ranges: bytes"]
    assert begin(*lines, accepts="br") == ([*lines, "Vary: Accept-Encoding"], False)


@pytest.mark.parametrize(
    ("lines", "vary"),
    [
        (["Vary: Cookie"], ["Vary: Cookie, Accept-Encoding"]),
        (
            ["vary: Accept-Language", "Vary: Cookie"],
            ["vary: Accept-Language, Accept-Encoding", "Vary: Cookie"],
        ),
        (["Vary: Cookie, accept-encoding"], ["Vary: Cookie, accept-encoding"]),
        (["Vary: Cookie", "Vary: Accept-Encoding"], ["Vary: Cookie", "Vary: Accept-Encoding"]),
        (["Vary: *"], ["Vary: *"]),
        (["Vary:"], ["Vary: Accept-Encoding"]),
    ],
)
def test_vary_is_merged_and_said_once(lines: list[str], vary: list[str]) -> None:
    padded = [line if ": " in line else line + " " for line in lines]
    for accepts in ("gzip", "br"):
        found, _ = begin(*padded, accepts=accepts)
        assert [line for line in found if line.lower().startswith("vary")] == vary


@pytest.mark.parametrize(("before", "after"), [('"a"', 'W/"a"'), ('W/"a"', 'W/"a"'), ("odd", "odd")])
def test_a_coded_form_has_a_weak_etag(before: str, after: str) -> None:
    assert begin(f"etag: {before}")[0][0] == f"etag: {after}"


def test_what_is_true_of_the_plain_form_only_is_gone() -> None:
    names = ["Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"]
    found, _ = begin(*(f"{name}: x" for name in names), "Last-Modified: y")
    assert found == ["Last-Modified: y", "Vary: Accept-Encoding", *CODED]


@pytest.mark.parametrize(
    ("asked", "etag", "after"),
    [
        ('If-None-Match: W/"a"', '"a"', 'W/"a"'),
        ('If-None-Match: "b", W/"a"', '"a"', 'W/"a"'),
        ('If-None-Match: "a"', '"a"', '"a"'),
        ('If-None-Match: W/"ab"', '"a"', '"a"'),
        ('If-None-Match: W/"a"', 'W/"a"', 'W/"a"'),
        ("X: y", '"a"', '"a"'),
    ],
)
def test_a_304_names_the_etag_that_the_client_has(asked: str, etag: str, after: str) -> None:
    found = begin(f"ETag: {etag}", status=304, length=0, asked=asked)
    assert found == ([f"ETag: {after}", "Vary: Accept-Encoding"], False)


# -- bytes ---------------------------------------------------------------------------------------------------------


def test_each_piece_can_be_read_as_far_as_it_goes() -> None:
    encoder: Encoder = GzipEncoder(4)
    reader = zlib.decompressobj(31)
    for piece in (TEXT, b"a", TEXT[:50]):
        assert reader.decompress(encoder.feed(piece)) == piece
    assert not reader.eof, "only the end says that it is complete"
    assert reader.decompress(encoder.finish(b"last")) == b"last"
    assert reader.eof
    assert reader.unused_data == b""


def test_a_body_in_one_piece() -> None:
    assert gzip.decompress(GzipEncoder(1).finish(TEXT)) == TEXT
    assert gzip.decompress(GzipEncoder(9).finish()) == b""
    assert len(GzipEncoder(9).finish(TEXT)) <= len(GzipEncoder(1).finish(TEXT)) < len(TEXT)


# -- how many ------------------------------------------------------------------------------------------------------


def test_past_the_limit_bodies_go_as_they_are() -> None:
    encoders = Encoders(2)
    made: Compression = compression(encoders=encoders)
    head = read_head("GET / HTTP/1.1\nHost: x\nAccept-Encoding: gzip")
    held = [made.begin(head, 200, [], -1)[1] for _ in range(2)]
    assert all(held)
    assert repr(encoders) == "<Encoders 2 of 2>"
    fields, encoder = made.begin(head, 200, [], -1)
    assert encoder is None
    assert [field.wire for field in fields] == [b"Vary: Accept-Encoding\r\n"]
    held.pop()
    assert made.begin(head, 200, [], -1)[1] is not None
