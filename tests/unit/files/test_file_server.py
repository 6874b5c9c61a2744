"""A file server, asked without a connection: what it answers, field by field."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from posthouse.config.file_specs import DEFAULT_INDEX
from posthouse.files.file_server import FileServer
from posthouse.files.folder import Folder
from posthouse.files.listing import Listings
from posthouse.files.media import MediaTypes
from posthouse.proxy.answer import Answer
from unit.files.asking import ask, ask_head, field, visit_of

THEN = 784111777
AT = b"Sun, 06 Nov 1994 08:49:37 GMT"
TEXT = b"0123456789" * 10


def write(path: Path, data: bytes = TEXT, at: float = THEN) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(int(at) * 10**9 + 5, int(at) * 10**9 + 5))


def never_later(seconds: float, callback: object) -> None:
    raise AssertionError("small folders are listed at once")


def server(www: Path, *, browse: str = "", index: tuple[str, ...] = DEFAULT_INDEX) -> FileServer:
    listings = Listings([browse], never_later) if browse else None
    return FileServer(Folder(str(www)), MediaTypes({".x": "image/x"}), index, listings, ["/blog"])


def lines(answer: Answer) -> list[bytes]:
    return [one.wire[:-2] for one in answer.fields]


TAG = b'"%x-64"' % (THEN * 10**9 + 5)


def test_a_file(www: Path) -> None:
    write(www / "a.txt")
    answer, body = ask(server(www), "/a.txt")
    assert (answer.status, body) == (200, TEXT)
    assert lines(answer) == [
        b"Content-Type: text/plain; charset=utf-8",
        b"ETag: " + TAG,
        b"Last-Modified: " + AT,
        b"Accept-Ranges: bytes",
    ]


def test_head_is_get_without_the_body(www: Path) -> None:
    write(www / "a.txt")
    answer, _ = ask(server(www), "/a.txt", "Range: bytes=0-1", method="HEAD")
    assert answer.status == 200, "a range is for GET alone (RFC 9110 14.2)"
    assert not isinstance(answer.body, bytes) and answer.body is not None
    assert answer.body.length == 100


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "get"])
def test_other_methods(www: Path, method: str) -> None:
    write(www / "a.txt")
    answer, _ = ask(server(www, browse="/"), "/a.txt", method=method)
    assert (answer.status, lines(answer)) == (405, [b"Allow: GET, HEAD"])


def test_the_method_of_an_internal_redirect_counts(www: Path) -> None:
    write(www / "a.txt")
    answer = server(www).respond(visit_of(ask_head("/upload", method="POST"), "/a.txt"), ask_head("/a.txt"))
    assert isinstance(answer, Answer) and answer.status == 200
    assert answer.body is not None and not isinstance(answer.body, bytes)
    answer.body.close()


@pytest.mark.parametrize(
    "target", ["/none", "/../secret.txt", "/%2e%2e/secret.txt", "/.env", "/sub/", "/a.txt/x"]
)
def test_what_is_not_there(www: Path, target: str) -> None:
    (www / "sub").mkdir()
    write(www / ".env")
    write(www / "a.txt")
    answer, _ = ask(server(www), target)
    assert (answer.status, lines(answer), answer.cause) == (404, [], "")


# -- folders -------------------------------------------------------------------------------------------------------

MOVED = {
    "/sub": b"/sub/",
    "/sub?a=b&c": b"/sub/?a=b&c",
    "//sub": b"/sub/",
    "//evil.test/../sub": b"/sub/",
    "/%2Fevil.test/..//sub": b"/sub/",
    "/sub/a.txt/": b"/sub/a.txt",
    "/sub/index.html": b"/sub/",
    "/sub/index.html?x": b"/sub/?x",
    "/index.html": b"/",
    "/default.txt": b"/",
    "/a%20b%0d%0aX:%20y": b"/a%20b%0D%0AX:%20y/",
    "/%C3%A9": b"/%C3%A9/",
    "/%FF": b"/%FF/",
    "/evil.test%5C": b"/evil.test%5C/",
}


@pytest.mark.parametrize(("target", "location"), MOVED.items(), ids=list(MOVED))
def test_the_canonical_path(www: Path, target: str, location: bytes) -> None:
    for folder in (b"a b\r\nX: y", "é".encode(), b"\xff", b"evil.test\\"):
        (www / os.fsdecode(folder)).mkdir()
    for name in ("sub/a.txt", "sub/index.html", "index.html", "default.txt"):
        write(www / name)
    answer, body = ask(server(www), target)
    assert (answer.status, lines(answer), body) == (301, [b"Location: " + location], b"")


@pytest.mark.parametrize(
    ("target", "path", "location"),
    [
        ("/blog/sub", "/sub", b"/blog/sub/"),
        ("/BLOG/sub", "/sub", b"/BLOG/sub/"),
        ("/blog/old", "/sub", b"/blog/sub/"),
        ("/old", "/sub", b"/sub/"),
        ("//evil.test", "/sub", b"/sub/"),
    ],
)
def test_a_prefix_that_was_cut_comes_back(www: Path, target: str, path: str, location: bytes) -> None:
    (www / "sub").mkdir()
    answer, _ = ask(server(www), target, path=path)
    assert lines(answer) == [b"Location: " + location]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/index.html"),
        ("/app", "/sub/index.html"),
        ("/x", "/a.txt/"),
        ("/sub/", "/sub"),
        ("/blog/sub/", "/sub"),
    ],
)
def test_what_was_rewritten_is_not_sent_in_a_circle(www: Path, target: str, path: str) -> None:
    for name in ("index.html", "sub/index.html", "a.txt"):
        write(www / name)
    answer, body = ask(server(www), target, path=path)
    assert (answer.status, body) == (200, TEXT)


def test_rewriting_leads_past_no_password_of_a_folder(www: Path) -> None:
    """`basicauth /sub/` did not see the slash: it is asked for the folder's own path."""
    write(www / "sub" / "index.html")
    answer, _ = ask(server(www), "/dl/sub/", path="/sub")
    assert (answer.status, field(answer, b"Location")) == (301, b"/sub/")


def test_index_files_in_their_order(www: Path) -> None:
    (www / "index.html").mkdir()
    os.mkfifo(www / "index.htm")
    write(www / "default.html", b"later")
    write(www / "index.txt", b"first")
    answer, body = ask(server(www), "/")
    assert (answer.status, body) == (200, b"first")
    assert field(answer, b"Content-Type") == b"text/plain; charset=utf-8"
    answer, body = ask(server(www, index=("default.html",)), "/")
    assert (answer.status, body) == (200, b"later")


def test_listings_where_they_are_wanted(www: Path) -> None:
    for name in ("sub/a.txt", "with/index.html", "a.txt"):
        write(www / name)
    listing = server(www, browse="/sub")
    assert ask(listing, "/")[0].status == 404
    assert b"a.txt" in ask(listing, "/sub/")[1]
    assert ask(server(www, browse="/"), "/with/")[1] == TEXT


def test_an_index_that_cannot_be_opened_is_no_listing(www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With descriptors gone a folder must not show what its index file hides."""
    write(www / "index.html")
    real = os.open

    def fails(name: bytes, *rest: int) -> int:
        if name.endswith(b"index.html"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(name, *rest)

    monkeypatch.setattr(os, "open", fails)
    answer, _ = ask(server(www, browse="/"), "/")
    assert answer.status == 503


# -- conditions and ranges -----------------------------------------------------------------------------------------


def test_not_modified(www: Path) -> None:
    write(www / "a.x")
    write(www / "a.x.gz")
    answer, body = ask(server(www), "/a.x", f"If-None-Match: {TAG.decode()}")
    assert (answer.status, body) == (304, b"")
    assert lines(answer) == [b"Vary: Accept-Encoding", b"ETag: " + TAG, b"Last-Modified: " + AT]


def test_a_failed_precondition_and_an_unsatisfiable_range(www: Path) -> None:
    write(www / "a.txt")
    answer, _ = ask(server(www), "/a.txt", 'If-Match: "other"')
    assert (answer.status, lines(answer)) == (412, [])
    answer, _ = ask(server(www), "/a.txt", "Range: bytes=100-")
    assert (answer.status, lines(answer)) == (416, [b"Content-Range: bytes */100"])


def test_one_range(www: Path) -> None:
    write(www / "a.txt")
    answer, body = ask(server(www), "/a.txt", "Range: bytes=95-")
    assert (answer.status, body) == (206, b"56789")
    assert field(answer, b"Content-Range") == b"bytes 95-99/100"
    assert field(answer, b"ETag") == TAG


def test_several_ranges(www: Path) -> None:
    write(www / "a.x")
    answer, body = ask(server(www), "/a.x", "Range: bytes=0-1,98-,500-")
    content_type = field(answer, b"Content-Type") or b""
    assert answer.status == 206
    assert content_type.startswith(b"multipart/byteranges; boundary=")
    boundary = content_type.partition(b"=")[2]
    part = b"\r\n--%b\r\nContent-Type: image/x\r\nContent-Range: bytes %b/100\r\n\r\n%b"
    end = b"\r\n--%b--\r\n" % boundary
    assert body == part % (boundary, b"0-1", b"01") + part % (boundary, b"98-99", b"89") + end
    assert field(answer, b"Content-Range") is None


@pytest.mark.parametrize(
    ("line", "status"),
    [(f"If-Range: {TAG.decode()}", 206), ('If-Range: "old"', 200), (f"If-Range: {AT.decode()}", 206)],
)
def test_a_range_of_what_the_client_has(www: Path, line: str, status: int) -> None:
    write(www / "a.txt")
    assert ask(server(www), "/a.txt", "Range: bytes=0-1", line)[0].status == status


def test_an_empty_file(www: Path) -> None:
    write(www / "empty.txt", b"")
    answer, body = ask(server(www), "/empty.txt", "Range: bytes=0-")
    assert (answer.status, body) == (200, b"")


def test_times_that_cannot_be_told(www: Path) -> None:
    """Of the future: Last-Modified is now, and a condition about it is never met by a time that is past."""
    write(www / "later", at=THEN + 1000)
    write(www / "never", at=0)
    serving = server(www)
    serving.clock = lambda: THEN + 0.5
    assert field(ask(serving, "/later")[0], b"Last-Modified") == AT
    assert ask(serving, "/later", f"If-Modified-Since: {AT.decode()}")[0].status == 200
    assert field(ask(serving, "/never")[0], b"Last-Modified") is None


def test_each_change_has_its_tag(www: Path) -> None:
    tags = set()
    for data, at in ((b"a", THEN), (b"ab", THEN), (b"b", THEN + 1)):
        write(www / "a.txt", data, at)
        tags.add(field(ask(server(www), "/a.txt")[0], b"ETag"))
    assert len(tags) == 3


# -- coded forms ---------------------------------------------------------------------------------------------------


def coded(www: Path, *lines: str) -> tuple[bytes | None, bytes, bytes | None]:
    """Coding, body and Vary of /a.js."""
    answer, body = ask(server(www), "/a.js", *lines)
    assert field(answer, b"Content-Type") == b"text/javascript; charset=utf-8"
    return field(answer, b"Content-Encoding"), body, field(answer, b"Vary")


def test_the_form_that_the_client_likes_best(www: Path) -> None:
    write(www / "a.js")
    write(www / "a.js.br", b"brotli")
    write(www / "a.js.gz", b"gzip")
    vary = b"Accept-Encoding"
    assert coded(www) == (None, TEXT, vary)
    assert coded(www, "Accept-Encoding: gzip, br, zstd") == (b"br", b"brotli", vary)
    assert coded(www, "Accept-Encoding: br;q=0.5, gzip") == (b"gzip", b"gzip", vary)
    assert coded(www, "Accept-Encoding: br;q=0, zstd") == (None, TEXT, vary)
    answer, body = ask(server(www), "/a.js.gz", "Accept-Encoding: gzip")
    assert (field(answer, b"Content-Encoding"), field(answer, b"Content-Type")) == (None, b"application/gzip")
    assert body == b"gzip"


def test_without_coded_forms_nothing_varies(www: Path) -> None:
    write(www / "a.js")
    (www / "a.js.gz").mkdir()
    assert coded(www, "Accept-Encoding: br")[2] == b"Accept-Encoding", "something is there"
    assert coded(www, "Accept-Encoding: gzip")[:2] == (None, TEXT)
    (www / "a.js.gz").rmdir()
    assert coded(www, "Accept-Encoding: gzip") == (None, TEXT, None)


def test_a_form_that_is_older_than_the_file_is_out_of_date(www: Path) -> None:
    write(www / "a.js", at=THEN)
    write(www / "a.js.gz", b"old", at=THEN - 1)
    write(www / "a.js.br", b"same", at=THEN)
    assert coded(www, "Accept-Encoding: gzip")[:2] == (None, TEXT)
    assert coded(www, "Accept-Encoding: gzip, br")[:2] == (b"br", b"same")


def test_each_form_has_its_tag_and_its_ranges(www: Path) -> None:
    """RFC 9110 8.8.3.3: tags tell forms apart; 14.2: a range is one of the form that is sent."""
    write(www / "a.js")
    write(www / "a.js.gz", b"x" * 100)
    write(www / "a.js.br", b"y" * 100)
    tags = {
        field(ask(server(www), "/a.js", f"Accept-Encoding: {coding}")[0], b"ETag")
        for coding in ("identity", "gzip", "br")
    }
    assert len(tags) == 3
    accept = "Accept-Encoding: gzip"
    tag = (field(ask(server(www), "/a.js", accept)[0], b"ETag") or b"").decode()
    answer, body = ask(server(www), "/a.js", accept, "Range: bytes=98-", f"If-Range: {tag}")
    assert (answer.status, body, field(answer, b"Content-Encoding")) == (206, b"xx", b"gzip")
    assert ask(server(www), "/a.js", accept, f"If-None-Match: {tag}")[0].status == 304
    assert ask(server(www), "/a.js", f"If-None-Match: {tag}")[0].status == 200
    assert ask(server(www), "/a.js", "Range: bytes=98-", f"If-Range: {tag}")[0].status == 200
