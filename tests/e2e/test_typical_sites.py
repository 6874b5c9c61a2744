"""The sites of docs/sites.md, run as the page has them (but for ports and folders) and probed for what it says."""

from __future__ import annotations

import base64
import gzip
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import pytest

from e2e.tls_backends import TLSBackend
from e2e.tunnels import UPGRADE, copy_back, take, tunnel
from kit import Posthouse, RawClient, Request, ScriptedBackend, get, request, response
from kit.backend import PATIENCE, BackendConnection
from kit.certificates import authority, server_context, write_files
from kit.http1 import Fields

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sites.md").read_text()
SITES = dict(re.findall(r"^```caddyfile (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
BACKEND_PORT = re.compile(r"localhost:(9\d{3})")


class Town:
    """One site of the page at work: its backends by the port that the page gives them, its folders below `root`."""

    def __init__(self, stack: ExitStack, name: str, root: Path) -> None:
        self.root = root
        text = SITES[name]
        ports = sorted(set(BACKEND_PORT.findall(text)))
        self.backends = {port: stack.enter_context(ScriptedBackend()) for port in ports}
        for port, backend in self.backends.items():
            text = text.replace(f"localhost:{port}", backend.address)
        for folder in ("/var/log", "/srv", "/etc/posthouse"):
            text = text.replace(f" {folder}", f" {root}{folder}").replace(f"={folder}", f"={root}{folder}")
        self.text = text.replace(":8080", ":PORT")
        self._stack = stack

    @property
    def backend(self) -> ScriptedBackend:
        (backend,) = self.backends.values()
        return backend

    def put(self, path: str, data: bytes | str) -> None:
        """A file where the page has it."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)

    def start(self) -> Posthouse:
        return self._stack.enter_context(Posthouse(self.text))


@pytest.fixture
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Town]]:
    with ExitStack() as stack:
        yield lambda name: Town(stack, name, tmp_path)


def test_every_site_of_the_page_is_run_here() -> None:
    source = Path(__file__).read_text()
    assert len(SITES) >= 6
    assert [name for name in SITES if f'town("{name}")' not in source] == []


def test_an_application(town: Callable[[str], Town]) -> None:
    site = town("app")
    site.put("/var/log/app/access.log", b"")
    site.put("/srv/app/pages/restarting.html", "<p>back in a moment")
    body = b"<p>" + b"hello " * 500
    site.backend.on_request = lambda asked, connection: response(
        200, [("Content-Type", "text/html")], body=body
    )
    posthouse = site.start()
    answer = get(posthouse.port, "/x", [("Accept-Encoding", "gzip")], host="app.example.com:80")
    assert answer.field("Content-Encoding") == b"gzip"
    assert gzip.decompress(answer.body) == body
    asked = site.backend.requests[0]
    assert (asked.field("Host"), asked.field("X-Real-IP"), asked.field("X-Forwarded-Port")) == (
        b"app.example.com:80",
        b"127.0.0.1",
        b"80",
    )
    with RawClient(posthouse.port) as client:
        big = request("POST", "/", [("Content-Length", str(10 << 20 | 1))], host="app.example.com")
        assert client.exchange(big, "POST").status == 413
    site.backend.close()
    gone = get(posthouse.port, "/y", host="app.example.com")
    assert (gone.status, gone.body) == (502, b"<p>back in a moment")
    posthouse.stop()
    lines = (site.root / "var/log/app/access.log").read_text().splitlines()
    assert re.sub(r"\[.*?\]", "[]", lines[0]) == (
        f'127.0.0.1 - - [] "GET /x HTTP/1.1" 200 {len(answer.body)} "-" "-"'
    )
    assert len(lines) == 3
    assert "[ERROR 502 /y]" in (site.root / "var/log/app/errors.log").read_text()


def test_several_instances(town: Callable[[str], Town]) -> None:
    site = town("balanced")
    first, second, third = site.backends.values()
    names = {"a": first, "b": second, "c": third}
    broken: set[str] = set()

    def serve(name: str) -> Callable[[Request, BackendConnection], bytes]:
        def answer(asked: Request, connection: BackendConnection) -> bytes:
            if asked.target == b"/health":
                return response(503 if name in broken else 200)
            return response(200, body=name.encode())

        return answer

    for name, backend in names.items():
        backend.on_request = serve(name)
    posthouse = site.start()

    def served() -> set[bytes]:
        return {get(posthouse.port, "/", host="shop.example.com").body for _ in range(30)}

    assert served() == {b"a", b"b", b"c"}
    broken.add("b")
    posthouse.wait_stderr(r"backend.*503")
    assert served() == {b"a", b"c"}
    first.close()
    assert served() == {b"c"}, "nobody is told of the backend that died: the request went to another one"
    broken.clear()
    deadline = time.monotonic() + PATIENCE
    while b"b" not in served():
        assert time.monotonic() < deadline, "a backend that is well again gets requests again"


def test_a_front_and_an_api(town: Callable[[str], Town]) -> None:
    site = town("front")
    site.put("/srv/front/index.html", "<p>app")
    site.put("/srv/front/assets/app.js", "let a = 1;")
    posthouse = site.start()

    def ask(target: str) -> tuple[int, bytes]:
        answer = get(posthouse.port, target, host="www.example.com")
        return answer.status, answer.body

    assert ask("/") == (200, b"<p>app")
    assert ask("/some/view") == (200, b"<p>app")
    assert ask("/assets/app.js") == (200, b"let a = 1;")
    assets = get(posthouse.port, "/assets/app.js", host="www.example.com")
    assert assets.field("Cache-Control") == b"public, max-age=31536000, immutable"
    missing = get(posthouse.port, "/assets/old.js", host="www.example.com")
    assert (missing.status, missing.field("Cache-Control")) == (404, assets.field("Cache-Control"))
    assert ask("/apix") == (200, b"<p>app")
    assert ask("/api/users?page=2") == (200, b"ok")
    assert [asked.target for asked in site.backend.requests] == [b"/users?page=2"]


def test_a_chat(town: Callable[[str], Town]) -> None:
    site = town("chat")
    site.put("/srv/chat/index.html", "<p>chat")

    site.backend.on_connect = tunnel(copy_back)
    posthouse = site.start()
    assert get(posthouse.port, "/", host="chat.example.com").body == b"<p>chat"
    with RawClient(posthouse.port) as client:
        asked = request("GET", "/socket", UPGRADE, host="chat.example.com")
        assert client.exchange(asked).status == 101
        for message in (b"one", b"two"):
            client.send(message)
            take(client, message)


def test_several_hosts(town: Callable[[str], Town]) -> None:
    site = town("hosts")
    one, two = site.backends.values()
    one.on_request = lambda asked, connection: response(200, body=b"1")
    two.on_request = lambda asked, connection: response(200, [("X-Frame-Options", "ALLOWALL")], body=b"2")
    posthouse = site.start()

    def ask(host: str, target: str = "/") -> tuple[int, bytes, bytes | None]:
        answer = get(posthouse.port, target, host=host)
        return answer.status, answer.body, answer.field("Location")

    assert ask("one.example.com") == (200, b"1", None)
    status, _, location = ask("one.example.com", "/old")
    assert (status, location) == (301, b"/new")
    status, _, location = ask("www.one.example.com", "/a?b=c")
    assert (status, location) == (301, b"http://one.example.com/a?b=c")
    assert ask("two.example.com") == (200, b"2", None)
    assert ask("any.two.example.com") == (200, b"2", None)
    assert ask("three.example.com")[0] == 404
    assert get(posthouse.port, "/", host="two.example.com").field("X-Frame-Options") == b"DENY"


def test_a_tool_with_a_password(town: Callable[[str], Town]) -> None:
    site = town("tool")
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    site.put("/etc/posthouse/tool.htpasswd", f"admin:{hashed}\n")
    posthouse = site.start()

    def ask(password: str | None, target: str = "/", more: Fields = ()) -> int:
        fields = list(more)
        if password is not None:
            word = base64.b64encode(f"admin:{password}".encode()).decode()
            fields.append(("Authorization", f"Basic {word}"))
        return get(posthouse.port, target, fields, host="tool.example.com").status

    assert ask(None) == 401
    assert ask("wrong") == 401
    assert site.backend.requests == []
    assert ask("open sesame", more=[("X-User", "root")]) == 200
    asked = site.backend.requests[0]
    assert asked.all("X-User") == [b"admin"]
    assert asked.field("Authorization") is None
    assert ask("open sesame", "/.git/config") == 404
    assert "sesame" not in posthouse.stderr()


def test_downloads(town: Callable[[str], Town]) -> None:
    site = town("downloads")
    site.put("/srv/files/protected/report.pdf", b"%PDF" + bytes(300_000))

    def decide(asked: Request, connection: BackendConnection) -> bytes:
        if asked.field("Cookie") != b"paid=1":
            return response(403, body=b"pay first")
        return response(200, [("X-Accel-Redirect", "/protected/report.pdf")], body=b"never seen")

    site.backend.on_request = decide
    posthouse = site.start()
    host = "files.example.com"
    assert get(posthouse.port, "/download/1", host=host).body == b"pay first"
    got = get(posthouse.port, "/download/1", [("Cookie", "paid=1")], host=host)
    assert (got.status, got.body) == (200, b"%PDF" + bytes(300_000))
    assert got.field("Content-Type") == b"application/pdf"
    assert got.field("X-Accel-Redirect") is None
    for target in (
        "/protected/report.pdf",
        "/%70rotected/report.pdf",
        "/x/../protected/report.pdf",
        "//protected/report.pdf",
    ):
        assert get(posthouse.port, target, host=host).status == 404


def test_backends_over_tls(town: Callable[[str], Town]) -> None:
    """They are verified, and so are we."""
    site = town("secure")
    write_files(site.root / "etc" / "posthouse")
    context = server_context("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    with TLSBackend(context) as backend:
        site.text = site.text.replace(f"https://{site.backend.address}", backend.address)
        posthouse = site.start()
        assert get(posthouse.named_port(), "/x", host="secure.example.com").body == b"ok"
        assert backend.requests[0].field("Host") == b"secure.example.com"
        assert backend.handshakes[0].sni == "localhost"
        assert "client.test" in str(backend.handshakes[0].certificate)
