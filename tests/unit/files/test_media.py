from __future__ import annotations

import pytest

from posthouse.files.media import UNKNOWN, MediaTypes
from posthouse.protocol.fields import is_token


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/index.html", b"text/html; charset=utf-8"),
        ("/A.HTML", b"text/html; charset=utf-8"),
        ("/app.js", b"text/javascript; charset=utf-8"),
        ("/a.b/style.css", b"text/css; charset=utf-8"),
        ("/data.json", b"application/json"),
        ("/logo.svg", b"image/svg+xml"),
        ("/a.tar.gz", b"application/gzip"),
        ("/font.woff2", b"font/woff2"),
        ("/program.wasm", b"application/wasm"),
    ],
)
def test_known_endings(path: str, media_type: bytes) -> None:
    [found] = MediaTypes({}).fields(path)
    assert (found.name, found.value) == (b"Content-Type", media_type)


@pytest.mark.parametrize("path", ["/README", "/x.unknown", "/a.html/README", "/", "/x."])
def test_the_rest_is_bytes_that_nobody_guesses_about(path: str) -> None:
    assert MediaTypes({}).fields(path) == UNKNOWN
    assert [one.value for one in UNKNOWN] == [b"application/octet-stream", b"nosniff"]


def test_the_site_has_the_last_word() -> None:
    media = MediaTypes({".html": "text/plain", ".x": "image/x"})
    assert [media.fields(path)[0].value for path in ("/a.HTML", "/a.x", "/a.htm")] == [
        b"text/plain",
        b"image/x",
        b"text/html; charset=utf-8",
    ]


def test_the_table_is_well_formed() -> None:
    for fields in MediaTypes({})._fields.values():
        kind, slash, subtype = fields[0].value.partition(b";")[0].partition(b"/")
        assert slash and is_token(kind) and is_token(subtype)
