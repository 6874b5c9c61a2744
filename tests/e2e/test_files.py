"""Static files by a real process: what may be seen, in which form, and what it costs when clients are odd."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import Posthouse, RawClient, Stage, request, response
from kit.backend import PATIENCE
from kit.http1 import Request, Response, Truncated

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    root ROOT
    browse /list
    ext .html
    mime .x image/x
    proxy /api BACKEND
}
http://dot.test:PORT {
    bind 127.0.0.1
    root ROOT { dotfiles }
    index start.txt
}
http://none.test:PORT {
    bind 127.0.0.1
    proxy /api BACKEND
}
http://self.test:PORT {
    bind 127.0.0.1
    browse
}
http://accel.test:PORT {
    bind 127.0.0.1
    root ROOT
    internal /sub
    gzip
    rewrite {
        regexp ^/app
        to {path} {path}/ /index.html
    }
    proxy /api BACKEND
}
http://path.test:PORT/blog {
    bind 127.0.0.1
    root ROOT
}
"""
LARGE = random.Random(5).randbytes(10 << 20)
SECRET = b"do not show this"


@pytest.fixture(scope="module")
def www(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("files")
    (top / "secret.txt").write_bytes(SECRET)
    root = top / "www"
    for folder in ("sub", "list/inner", ".git", ".well-known", "empty"):
        (root / folder).mkdir(parents=True)
    for name in (".env", ".git/config", "sub/.htpasswd", ".well-known/.hidden", "list/.hidden"):
        (root / name).write_bytes(SECRET)
    texts = {
        "index.html": "home",
        "small.txt": "0123456789",
        "about.html": "about us",
        "a.x": "x",
        "sub/start.txt": "start",
        "app.js": "plain",
        "app.js.gz": "gzip!",
        "app.js.br": "brotli",
        ".well-known/token": "token",
        "list/b.txt": "b" * 2048,
        'list/a <b>&".txt': "a",
        "api.txt": "a file whose path the proxy takes",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    (root / "large.bin").write_bytes(LARGE)
    os.mkfifo(root / "fifo")
    (root / "link.txt").symlink_to("small.txt")
    (root / "loop").symlink_to("loop")
    return root


@pytest.fixture(scope="module")
def shared_stage(www: Path) -> Iterator[Stage]:
    with Stage(CADDYFILE, ROOT=str(www)) as started:
        (started.posthouse.directory / "page.html").write_text("page")
        yield started


def descriptors(posthouse: Posthouse) -> int:
    return len(os.listdir(f"/proc/{posthouse.worker}/fd"))


def settled(posthouse: Posthouse, most: int) -> None:
    """Wait until no more than `most` descriptors are open."""
    deadline = time.monotonic() + PATIENCE
    while descriptors(posthouse) > most and time.monotonic() < deadline:
        time.sleep(0.01)
    assert descriptors(posthouse) <= most


# -- what may be seen ----------------------------------------------------------------------------------------------

OUTSIDE = [
    "/../secret.txt",
    "/../../secret.txt",
    "/sub/../../secret.txt",
    "/./../secret.txt",
    "/..//secret.txt",
    "//../secret.txt",
    "///../../secret.txt",
    "/%2e%2e/secret.txt",
    "/%2E%2E/secret.txt",
    "/.%2e/secret.txt",
    "/%2e./secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt",
    "/..%2Fsecret.txt",
    "/sub%2f..%2f..%2fsecret.txt",
    "/sub/%2e%2e/%2e%2e/secret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/%5c..%5csecret.txt",
    "/sub\\..\\..\\secret.txt",
    "/%252e%252e/secret.txt",
    "/%252e%252e%252fsecret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/%uff0e%uff0e/secret.txt",
    "/..;/secret.txt",
    "/..%00/secret.txt",
    "/small.txt%00/../../secret.txt",
    "/..%0d/secret.txt",
    "/../secret.txt?x",
    "/../secret.txt/",
    "/../www/../secret.txt",
    "/small.txt/../../secret.txt",
    "/link.txt/../../secret.txt",
    "/list/../../secret.txt",
    "/list/%2e%2e/%2e%2e/secret.txt",
    "http://site.test/../secret.txt",
    "HTTP://site.test/%2e%2e/secret.txt",
    "/....//secret.txt",
    "/.../secret.txt",
]
DOTTED = [
    "/.env",
    "//.env",
    "/%2eenv",
    "/%2Eenv",
    "/./.env",
    "/sub/../.env",
    "/.env/",
    "/.env?",
    "/.git/config",
    "/.git/",
    "/.git",
    "/.%67it/config",
    "/sub/.htpasswd",
    "/sub//.htpasswd",
    "/sub/%2ehtpasswd",
    "/sub%2f.htpasswd",
    "/.well-known/.hidden",
    "/.well-known/../.env",
    "/list/.hidden",
]


@pytest.mark.parametrize("target", OUTSIDE + DOTTED)
def test_what_is_not_for_everybody(stage: Stage, target: str) -> None:
    assert len(OUTSIDE) == 39
    with stage.client() as client:
        answer = client.exchange(request("GET", target))
    assert answer.status in (400, 404)
    assert SECRET not in answer.body


def test_random_walks_end_below_the_root(stage: Stage) -> None:
    chance = random.Random(7)
    pieces = [
        "/",
        "//",
        "/..",
        "/.",
        "/%2e%2e",
        "%2f",
        "..%2f",
        "/sub",
        "sub",
        "/secret.txt",
        "secret.txt",
        "%5c",
    ]
    pieces += ["/.env", "/.git", "/config", "/www", "/link.txt", "/list", "?", "/..;"]
    with stage.client() as client:
        for _ in range(300):
            target = "/" + "".join(chance.choices(pieces, k=chance.randint(1, 6)))
            answer = client.exchange(request("GET", target))
            assert answer.status in (200, 301, 404), target
            assert SECRET not in answer.body, target


def test_dot_files_where_they_are_asked_for(stage: Stage) -> None:
    assert stage.get("/.well-known/token").body == b"token"
    assert stage.get("/.env", host="dot.test").body == SECRET
    assert stage.get("/sub/", host="dot.test").body == b"start"
    assert stage.get("/../secret.txt", host="dot.test").status == 404


def test_nothing_is_published_by_itself(stage: Stage) -> None:
    """v1 served the working directory of every site."""
    for target in ("/", "/Caddyfile", "/page.html"):
        assert stage.get(target, host="none.test").status == 404


def test_the_configuration_is_hidden(stage: Stage) -> None:
    assert stage.get("/page.html", host="self.test").body == b"page"
    listing = stage.get("/", host="self.test")
    assert b"page.html" in listing.body and b"Caddyfile" not in listing.body
    for target in ("/Caddyfile", "/%43addyfile", "//Caddyfile", "/Caddyfile/"):
        assert stage.get(target, host="self.test").status == 404


@pytest.mark.parametrize(
    "target", ["/fifo", "/loop", "/empty/", "/SMALL.TXT", "/small.txt/x", "/" + "x" * 5000]
)
def test_what_is_not_there(stage: Stage, target: str) -> None:
    assert stage.get(target).status == 404
    assert stage.get("/link.txt").body == b"0123456789", "links are followed"


def test_routes_come_first(stage: Stage) -> None:
    assert stage.get("/api.txt").body == b"ok"
    assert stage.backend.requests[0].target == b"/api.txt"


# -- forms of answers ----------------------------------------------------------------------------------------------


def test_a_file_and_its_fields(stage: Stage) -> None:
    answer = stage.get("/small.txt")
    assert (answer.status, answer.body, answer.framing) == (200, b"0123456789", "length")
    assert answer.field("Content-Type") == b"text/plain; charset=utf-8"
    assert answer.field("Accept-Ranges") == b"bytes"
    assert answer.field("Server") == b"Posthouse"
    assert answer.field("Vary") is None
    with stage.client() as client:
        head = client.exchange(request("HEAD", "/small.txt"), "HEAD")
        assert [one for one in head.fields if one[0] != b"Date"] == [
            one for one in answer.fields if one[0] != b"Date"
        ]
        client.send(request("GET", "/small.txt") + request("GET", "/about") + request("GET", "/"))
        assert [client.read_response().body for _ in range(3)] == [b"0123456789", b"about us", b"home"]


def test_conditions(stage: Stage) -> None:
    first = stage.get("/small.txt")
    tag, date = first.field("ETag") or b"", first.field("Last-Modified") or b""
    with stage.client() as client:
        for fields in ([("If-None-Match", tag)], [("If-Modified-Since", date)]):
            answer = client.exchange(request("GET", "/small.txt", fields))
            assert (answer.status, answer.body, answer.field("ETag")) == (304, b"", tag)
            assert answer.field("Content-Length") is None and answer.field("Content-Type") is None
        assert client.exchange(request("GET", "/small.txt", [("If-Match", b'"x"')])).status == 412
        assert client.exchange(request("GET", "/small.txt", [("If-None-Match", b'"x"')])).status == 200


def parts_of(answer: Response) -> list[tuple[bytes, bytes]]:
    """Range and bytes of each part of a multipart/byteranges body, read strictly."""
    match = re.fullmatch(rb"multipart/byteranges; boundary=(\w+)", answer.field("Content-Type") or b"")
    assert match
    first, *parts, last = answer.body.split(b"\r\n--" + match[1])
    assert (first, last) == (b"", b"--\r\n")
    found = []
    for part in parts:
        head, _, data = part.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"" and lines[1].startswith(b"Content-Type: ")
        found.append((lines[2].removeprefix(b"Content-Range: bytes "), data))
    return found


def test_ranges(stage: Stage) -> None:
    def ask(value: str) -> Response:
        return stage.get("/large.bin", [("Range", value)])

    size = len(LARGE)
    answer = ask("bytes=1000000-1999999")
    assert (answer.status, answer.body) == (206, LARGE[1000000:2000000])
    assert answer.field("Content-Range") == b"bytes 1000000-1999999/%d" % size
    assert ask("bytes=-5").body == LARGE[-5:]
    answer = ask("bytes=0-0,5000000-5999999,-1")
    assert answer.status == 206
    assert parts_of(answer) == [
        (b"0-0/%d" % size, LARGE[:1]),
        (b"5000000-5999999/%d" % size, LARGE[5000000:6000000]),
        (b"%d-%d/%d" % (size - 1, size - 1, size), LARGE[-1:]),
    ]
    answer = ask(f"bytes={size}-")
    assert (answer.status, answer.field("Content-Range")) == (416, b"bytes */%d" % size)
    many = stage.get("/small.txt", [("Range", "bytes=" + ",".join(["0-"] * 1000))])
    assert (many.status, many.body) == (200, b"0123456789")


def test_precompressed(stage: Stage) -> None:
    def ask(accept: str) -> tuple[bytes | None, bytes]:
        answer = stage.get("/app.js", [("Accept-Encoding", accept)])
        assert (answer.status, answer.field("Vary")) == (200, b"Accept-Encoding")
        assert answer.field("Content-Type") == b"text/javascript; charset=utf-8"
        return answer.field("Content-Encoding"), answer.body

    assert ask("gzip, deflate, br") == (b"br", b"brotli")
    assert ask("br;q=0.1, gzip;q=0.9") == (b"gzip", b"gzip!")
    assert ask("br;q=0, *;q=0") == (None, b"plain")


def test_methods(stage: Stage) -> None:
    for method, body in (("POST", b"x"), ("DELETE", None), ("OPTIONS", None)):
        with stage.client() as client:
            answer = client.exchange(request(method, "/small.txt", (), body))
            assert (answer.status, answer.field("Allow")) == (405, b"GET, HEAD")
            assert client.exchange(request("GET", "/small.txt")).status == 200


@pytest.mark.parametrize(
    ("target", "host", "location"),
    [
        ("/sub", "site.test", b"/sub/"),
        ("//sub?a=/../b", "site.test", b"/sub/?a=/../b"),
        ("//evil.test/..//sub", "site.test", b"/sub/"),
        ("/small.txt/", "site.test", b"/small.txt"),
        ("/index.html", "site.test", b"/"),
        ("/blog/sub", "path.test", b"/blog/sub/"),
        ("/blog/index.html", "path.test", b"/blog/"),
    ],
)
def test_canonical_paths(stage: Stage, target: str, host: str, location: bytes) -> None:
    answer = stage.get(target, host=host)
    assert (answer.status, answer.field("Location")) == (301, location)


def test_clean_paths(stage: Stage) -> None:
    answer = stage.get("/about?x=1")
    assert (answer.status, answer.body) == (200, b"about us")
    assert stage.get("/about/").status == 404


def test_media_types_of_the_site(stage: Stage) -> None:
    """For files, and for what backends say; not for the text of an error."""
    assert stage.get("/a.x").field("Content-Type") == b"image/x"
    assert stage.get("/api/b.X").field("Content-Type") == b"image/x"
    assert stage.get("/api/b").field("Content-Type") is None
    assert stage.get("/none.x").field("Content-Type") == b"text/plain; charset=utf-8"


def test_listings(stage: Stage) -> None:
    page = stage.get("/list/?sort=size&order=desc")
    assert (page.status, page.field("Content-Type")) == (200, b"text/html; charset=utf-8")
    links = re.findall(rb'<tr><td><a href="([^"]*)">', page.body)
    assert links == [b"./b.txt", b"./a%20%3Cb%3E&amp;%22.txt", b"./inner/"]
    assert b"<b>" not in page.body and b".hidden" not in page.body
    assert stage.get("/list/a%20%3Cb%3E&%22.txt").body == b"a"
    items = json.loads(stage.get("/list/?limit=2", [("Accept", "application/json")]).body)
    assert [(one["Name"], one["Size"], one["IsDir"]) for one in items][1:] == [('a <b>&".txt', 1, False)]
    assert stage.get("/list").status == 301
    assert stage.get("/empty/").status == 404, "not below /list"
    assert stage.get("/list/?limit=many").status == 400


def test_a_long_listing_and_who_does_not_wait_for_it(stage: Stage, www: Path) -> None:
    folder = www / "list/inner/many"
    folder.mkdir()
    for number in range(450):
        (folder / f"{number:03}.txt").touch()
    with stage.client() as client, stage.client() as leaving:
        # On one connection the answers come in the order of the requests, however long one takes.
        client.send(request("GET", "/list/inner/many/") + request("GET", "/list/b.txt"))
        leaving.send(request("GET", "/list/inner/many/"))
        leaving.reset()
        page, file = client.read_response(), client.read_response()
    assert re.findall(rb'<a href="./(\d+).txt">', page.body) == [b"%03d" % number for number in range(450)]
    assert page.body.endswith(b"</html>\n") and (file.status, page.status) == (200, 200)
    shutil.rmtree(folder)


def test_a_backend_lets_a_file_answer(stage: Stage) -> None:
    """X-Accel-Redirect: the file is sent as if it had been asked for, whatever was sent to the backend."""

    def answer(asked: Request, connection: object) -> bytes:
        return response(200, [("X-Accel-Redirect", asked.field("X-To") or b"")], b"not this")

    def ask(target: str, method: str = "POST") -> Response:
        fields = [("X-To", target), ("Range", "bytes=1-2")]
        with stage.client() as client:
            return client.exchange(request(method, "/api", fields, b"body", host="accel.test"), method)

    stage.backend.on_request = answer
    assert stage.get("/sub/start.txt", host="accel.test").status == 404
    for method in ("GET", "POST"):
        found = ask("/sub/start.txt", method)
        assert (found.status, found.body, found.field("Content-Range")) == (206, b"ta", b"bytes 1-2/5")
    for target in ("/.env", "/../secret.txt", "/sub/none"):
        assert ask(target).status == 404


def test_one_page_for_all_paths_that_are_no_file(stage: Stage) -> None:
    """A page that routes in the browser: what `rewrite` chose is served, and never redirected in a circle."""
    for target, body in (("/app.js", b"plain"), ("/app/users/7", b"home"), ("/apple", b"home")):
        answer = stage.get(target, host="accel.test")
        assert (answer.status, answer.body) == (200, body)


def test_compression_and_files(stage: Stage) -> None:
    """What lies there coded is not coded again; what is coded on the way keeps its tag good for a 304; no part is."""
    gzip = ("Accept-Encoding", "gzip")
    answer = stage.get("/app.js", [gzip], host="accel.test")
    assert (answer.field("Content-Encoding"), answer.body) == (b"gzip", b"gzip!")
    answer = stage.get("/list/b.txt", [gzip], host="accel.test")
    assert (answer.field("Content-Encoding"), zlib.decompress(answer.body, 31)) == (b"gzip", b"b" * 2048)
    again = stage.get(
        "/list/b.txt", [gzip, ("If-None-Match", answer.field("ETag") or b"")], host="accel.test"
    )
    assert again.status == 304
    part = stage.get("/list/b.txt", [gzip, ("Range", "bytes=0-1023")], host="accel.test")
    assert (part.status, part.body, part.field("Content-Encoding")) == (206, b"b" * 1024, None)


# -- odd clients, odd files ----------------------------------------------------------------------------------------


def test_a_stalled_reader_costs_little_and_gets_everything(stage: Stage) -> None:
    stage.get("/large.bin")
    open_before, memory = descriptors(stage.posthouse), stage.posthouse.memory()
    clients = [stage.client() for _ in range(8)]
    for client in clients:
        client.send(request("GET", "/large.bin"))
    for _ in range(20):
        assert stage.get("/small.txt").body == b"0123456789"
    assert stage.posthouse.memory() - memory < 8 * (1 << 20), "less than a tenth of what they asked for"
    for client in clients[:2]:
        assert client.read_response().body == LARGE
    for client in clients:
        client.close()
    settled(stage.posthouse, open_before)


def test_clients_that_leave_give_descriptors_back(stage: Stage) -> None:
    stage.get("/small.txt")
    open_before = descriptors(stage.posthouse)
    for end in (RawClient.reset, RawClient.close, RawClient.finish_sending):
        for _ in range(5):
            client = stage.client()
            client.send(request("GET", "/large.bin"))
            client.fill()
            end(client)
    stage.clear()
    settled(stage.posthouse, open_before)


def test_many_at_once(stage: Stage) -> None:
    """Forty clients, each with ten parts of its own of the same file."""
    wrong: list[object] = []

    def read(number: int) -> None:
        chance = random.Random(number)
        with RawClient(stage.port) as client:
            for _ in range(10):
                start = chance.randrange(len(LARGE) - 70000)
                fields = [("Range", f"bytes={start}-{start + 69999}")]
                answer = client.exchange(request("GET", "/large.bin", fields))
                if answer.body != LARGE[start : start + 70000]:
                    wrong.append((number, start))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_a_file_that_shrinks_is_cut_and_one_that_grows_is_not(stage: Stage, www: Path) -> None:
    for change in ("shrink", "grow"):
        changing = www / "changing.bin"
        changing.write_bytes(LARGE)
        with stage.client() as client:
            client.send(request("GET", "/changing.bin"))
            client.fill()
            if change == "grow":
                with changing.open("ab") as more:
                    more.write(b"x" * 100000)
                assert client.read_response().body == LARGE
                assert client.exchange(request("GET", "/small.txt")).status == 200
            else:
                os.truncate(changing, 1 << 20)
                with pytest.raises(Truncated) as caught:
                    client.read_response()
                assert caught.value.partial is not None
                stage.posthouse.wait_stderr("file ended early")


def test_descriptors_that_have_run_out(stage: Stage) -> None:
    """503 and when to come again; the connection lives on, and so does Posthouse."""
    pid = stage.posthouse.worker
    with stage.client() as client:
        assert client.exchange(request("GET", "/small.txt")).status == 200
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        holes = set(range(highest)) - {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(holes, default=highest + 1), limits[1]))
        try:
            answer = client.exchange(request("GET", "/small.txt"))
            assert (answer.status, answer.field("Retry-After")) == (503, b"3")
            assert client.exchange(request("GET", "/")).status == 503
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        assert client.exchange(request("GET", "/small.txt")).status == 200
    stage.posthouse.wait_stderr("file not served.*status=503 .*Too many open files")


def test_files_that_may_not_be_read(stage: Stage, www: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (www / "closed.txt").write_text("x")
    os.chmod(www / "closed.txt", 0)
    assert stage.get("/closed.txt").status == 403


@pytest.mark.peer
def test_curl(stage: Stage, www: Path, tmp_path: Path) -> None:
    """A download that is broken off and taken up again, and one that is not repeated."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    address = f"http://127.0.0.1:{stage.port}"
    target = tmp_path / "got.bin"
    target.write_bytes(LARGE[: 3 << 20])
    curl = ["curl", "--silent", "--fail", "--max-time", "20"]
    subprocess.run([*curl, "--continue-at", "-", "-o", str(target), f"{address}/large.bin"], check=True)
    assert target.read_bytes() == LARGE
    tags = tmp_path / "tags"
    say = ["--etag-save", str(tags), "--etag-compare", str(tags), "-w", "%{http_code}", "-o", os.devnull]
    codes = [
        subprocess.run([*curl, *say, f"{address}/small.txt"], check=True, capture_output=True).stdout
        for _ in range(2)
    ]
    assert codes == [b"200", b"304"]
