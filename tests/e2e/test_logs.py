"""`log` and `errors` of a running Posthouse: formats, scopes, masks, syslog, error pages, rotation, the end."""

from __future__ import annotations

import gzip
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit import Posthouse, RawClient, ScriptedBackend, Stage, request, response
from kit.http1 import Truncated
from kit.posthouse import RefusingPort

SITES = r"""
http://format.test:PORT {
    bind 127.0.0.1
    request_id
    log / format.log "{combined} {>X-A}|{<X-B}|{~sid}|{?q}|{request_id}|{upstream}|{attempts}|{tls_cipher}|{mitm}"
    log / body.log "{method} {request_body}"
    header / X-Site yes
    proxy / BACKEND
}
http://scopes.test:PORT {
    bind 127.0.0.1
    log / all.log {uri} {
        except /health /api/quiet
    }
    log / most.log "{uri} {rewrite_uri}"
    log /api api.log {uri} {
        except /api/quiet
    }
    proxy / BACKEND
}
http://scopes.test:PORT/app {
    bind 127.0.0.1
    log / app.log {rewrite_uri} {
        except /health
    }
    proxy / BACKEND
}
http://mask.test:PORT {
    bind 127.0.0.1
    trusted_proxies 127.0.0.1
    log / masked.log "{remote} {client_ip}" {
        ipmask 255.0.0.0 ffff::
    }
    log / plain.log "{remote} {client_ip}"
    proxy / BACKEND
}
http://syslog.test:PORT {
    bind 127.0.0.1
    log / syslog://127.0.0.1:UDP {common}
    log / syslog+tcp://localhost:TCP "{uri} {status}"
    errors syslog+tcp://localhost:TCP
    proxy / BACKEND
    proxy /down 127.0.0.1:DEAD
}
http://errors.test:PORT {
    bind 127.0.0.1
    errors errors.log {
        404 404.html
        *   any.json
    }
    proxy /mine BACKEND
    proxy /down 127.0.0.1:DEAD
}
http://visible.test:PORT {
    bind 127.0.0.1
    errors visible
    proxy /down 127.0.0.1:DEAD
}
"""


class Daemons:
    """A syslog daemon over UDP and one over TCP."""

    def __init__(self) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.tcp = socket.create_server(("127.0.0.1", 0))
        for one in (self.udp, self.tcp):
            one.settimeout(10)

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()

    @property
    def ports(self) -> dict[str, str]:
        return {"UDP": str(self.udp.getsockname()[1]), "TCP": str(self.tcp.getsockname()[1])}


@pytest.fixture(scope="module")
def daemons() -> Iterator[Daemons]:
    started = Daemons()
    yield started
    started.close()


@pytest.fixture(scope="module")
def shared_stage(daemons: Daemons) -> Iterator[Stage]:
    with RefusingPort() as dead, Stage(SITES, DEAD=str(dead.number), **daemons.ports) as started:
        yield started


def logged(stage: Stage, name: str, act: Callable[[], object], count: int = 1) -> list[str]:
    """The lines that a log gets while something happens."""
    before = len(stage.posthouse.access_log(name))
    act()
    return stage.posthouse.wait_access(before + count, name)[before:]


# -- formats and scopes


def test_a_format_of_ones_own_under_a_hostile_client(stage: Stage) -> None:
    stage.backend.on_request = lambda asked, connection: response(200, [("X-B", 'b"\\')], b"ok")
    fields: list[tuple[bytes | str, bytes | str]] = [
        ("User-Agent", b'evil" 200 0 "\\\xff\t'),
        ("X-A", b"a|b {status}"),
        ("Cookie", 'sid="s"; other=1'),
    ]
    [line] = logged(stage, "format.log", lambda: stage.get("/x?q=%0a%22", fields, host="format.test"))
    head, _, tail = line.partition('" 200 2 ')
    assert re.fullmatch(r'127\.0\.0\.1 - - \[[^]]+\] "GET /x\?q=%0a%22 HTTP/1\.1', head)
    agent, _, values = tail.partition('" a|b')
    assert agent == r'"-" "evil\x22 200 0 \x22\x5C\xFF'
    asked, of_response, cookie, argument, number, upstream, attempts, cipher, mitm = (
        ("a|b" + values).split("|", 1)[1].split("|")
    )
    assert (asked, of_response, cookie, argument) == ("b {status}", r"b\x22\x5C", "s", r"\x0A\x22")
    assert re.fullmatch(r"[0-9a-f-]{36}", number)
    assert upstream == f"http://{stage.backend.address}"
    assert (attempts, cipher, mitm) == ("1", "-", "unknown")


def test_the_body_of_a_request_is_one_line(stage: Stage) -> None:
    def post() -> None:
        with stage.client() as client:
            for kind, body in [("application/json", b'{"a":\r\n"b"}'), ("text/plain", b"secret")]:
                fields = [("Content-Type", kind)]
                asked = request("POST", "/", fields, body=body, host="format.test")
                assert client.exchange(asked).status == 200

    assert logged(stage, "body.log", post, 2) == [r"POST {\x22a\x22:\r\n\x22b\x22}", "POST -"]


def test_scopes_and_what_they_except(stage: Stage) -> None:
    def ask() -> None:
        for target in ("/a", "/health", "/api/x", "/API/quiet/y", "/app/b?c", "/app/health", "/last"):
            assert stage.get(target, host="scopes.test").status == 200

    before = {name: len(stage.posthouse.access_log(name)) for name in ("all.log", "api.log", "app.log")}
    most = logged(stage, "most.log", ask, 3)
    assert most == ["/a /a", "/health /health", "/last /last"]
    assert stage.posthouse.wait_access(before["all.log"] + 2, "all.log")[before["all.log"] :] == [
        "/a",
        "/last",
    ]
    assert stage.posthouse.wait_access(before["api.log"] + 1, "api.log")[before["api.log"] :] == ["/api/x"]
    assert stage.posthouse.wait_access(before["app.log"] + 1, "app.log")[before["app.log"] :] == ["/b?c"]


def test_addresses_are_masked_in_the_lines_of_one_log(stage: Stage) -> None:
    def ask() -> None:
        for client in ("2001:db8::7", "198.51.100.7"):
            assert stage.get("/", [("X-Forwarded-For", client)], host="mask.test").status == 200

    plain = len(stage.posthouse.access_log("plain.log"))
    assert logged(stage, "masked.log", ask, 2) == ["127.0.0.0 2001::", "127.0.0.0 198.0.0.0"]
    assert stage.posthouse.wait_access(plain + 2, "plain.log")[plain:] == [
        "127.0.0.1 2001:db8::7",
        "127.0.0.1 198.51.100.7",
    ]


def test_syslog_over_udp_and_tcp(stage: Stage, daemons: Daemons) -> None:
    assert stage.get("/up", host="syslog.test").status == 200
    assert stage.get("/down", host="syslog.test").status == 502
    for target, status in (("up", 200), ("down", 502)):
        head = rf"<134>1 \S+ \S+ posthouse {stage.posthouse.worker} access - 127\.0\.0\.1 - - \[[^]]+\]"
        shape = rf'{head} "GET /{target} HTTP/1\.1" {status} \d+'
        assert re.fullmatch(shape.encode(), daemons.udp.recv(9000))
    by_topic: dict[bytes, list[bytes]] = {}
    for _ in range(2):
        connection, _ = daemons.tcp.accept()
        with connection, connection.makefile("rb") as file:
            line = file.readline()
            topic = line.split()[5]
            by_topic[topic] = [line, file.readline()] if topic == b"access" else [line]
    assert [line.split(b" - ")[1] for line in by_topic[b"access"]] == [b"/up 200\n", b"/down 502\n"]
    [error] = by_topic[b"error"]
    assert error.startswith(b"<131>1 ") and b" [ERROR 502 /down] " in error


# -- errors


def test_pages_for_what_we_answer_and_none_for_what_a_backend_says(stage: Stage) -> None:
    folder = stage.posthouse.directory
    stage.posthouse.wait_stderr(r'WARN error page missing place=\S+ page=404\.html error="No such file')
    assert stage.get("/gone", host="errors.test").body == b"404 Not Found\n", "there is no page yet"
    stage.posthouse.wait_stderr(r"ERROR error page not used page=404\.html")
    (folder / "404.html").write_bytes(b"<p>lost")
    (folder / "any.json").write_bytes(b'{"down": true}')
    lost = stage.get("/gone", host="errors.test")
    assert (lost.status, lost.body, lost.field("content-type")) == (
        404,
        b"<p>lost",
        b"text/html; charset=utf-8",
    )
    [line] = logged(stage, "errors.log", lambda: stage.get("/down/a%20b", host="errors.test"))
    assert re.fullmatch(
        r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4} \[ERROR 502 /down/a\\x20b\] .*refused.*", line
    )
    down = stage.get("/down", host="errors.test")
    assert (down.status, down.body, down.field("content-type")) == (
        502,
        b'{"down": true}',
        b"application/json",
    )
    stage.backend.on_request = lambda asked, connection: response(404, body=b"mine")
    assert stage.get("/mine", host="errors.test").body == b"mine"
    head = stage.get("/gone", host="errors.test", method="HEAD")
    assert (head.status, head.body, head.field("content-length")) == (404, b"", b"7")


def test_visible_errors_are_shown_to_the_client(stage: Stage) -> None:
    shown = stage.get("/down", host="visible.test")
    assert (shown.status, shown.field("content-type")) == (502, b"text/plain; charset=utf-8")
    assert re.fullmatch(rb"\S+ \S+ \[ERROR 502 /down\] .*refused.*\n", shown.body)


# -- rotation, and the end

ROTATING = """
http://:PORT {
    bind 127.0.0.1
    log / access.log "{uri} {status}" {
        rotate_size     1
        rotate_keep     0
        rotate_compress
    }
    proxy / BACKEND
}
"""
LONG = "x" * 12_000


class Asking(threading.Thread):
    """A client that asks for one path after the other until its connection ends."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.prefix = name
        self.answered: list[str] = []

    def run(self) -> None:
        number = 0
        try:
            while True:
                with RawClient(self.port) as client:
                    while True:
                        target = f"/{self.prefix}/{number}?{LONG}"
                        number += 1
                        if client.exchange(request("GET", target)).status == 200:
                            self.answered.append(target)
        except (Truncated, OSError):
            return


def wait_files(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(list(folder.glob("access*"))) < count:
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.01)


def lines_of(folder: Path) -> list[str]:
    """The lines of all files, compressed or not."""
    lines: list[bytes] = []
    for file in folder.glob("access*"):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert data.endswith(b"\n") or not data
        assert len(data) <= 1 << 20
        lines += data.splitlines()
    return [line.decode() for line in lines]


def test_rotation_under_load_and_a_stop_lose_no_line(backend: ScriptedBackend, tmp_path: Path) -> None:
    running = Posthouse(ROTATING.replace("access.log", f"{tmp_path}/access.log"), BACKEND=backend.address)
    with running:
        asking = [Asking(running.port, name) for name in "abc"]
        for one in asking:
            one.start()
        wait_files(tmp_path, 5)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        for one in asking:
            one.join(10)
    answered = [f"{target} 200" for one in asking for target in one.answered]
    assert sorted(lines_of(tmp_path)) == sorted(answered)
    assert len(answered) > 2 * (1 << 20) // len(LONG)
    assert not list(tmp_path.glob("*.part"))


def test_renaming_and_usr1_lose_no_line_and_rotation_goes_on(
    backend: ScriptedBackend, tmp_path: Path
) -> None:
    running = Posthouse(ROTATING.replace("access.log", f"{tmp_path}/access.log"), BACKEND=backend.address)
    (tmp_path / "access-2020-01-01T00-00-00.000.log").write_bytes(b"")
    with running:
        asking = Asking(running.port, "a")
        asking.start()
        wait_files(tmp_path, 3)
        (tmp_path / "access.log").rename(tmp_path / "access.mine")
        running.signal(signal.SIGUSR1)
        running.wait_stderr(" INFO reloaded ")
        wait_files(tmp_path, 5)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        asking.join(10)
    assert sorted(lines_of(tmp_path)) == sorted(f"{target} 200" for target in asking.answered)
    assert (tmp_path / "access.mine").stat().st_size > 0
