"""Every form of a TO over plain HTTP, what is sent to it, and that its credentials show nowhere.

"Addresses" of the stance, 2.2 and 2.4 of what v1 does.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from e2e.pair import named
from kit import Posthouse, RawClient, ScriptedBackend, Stage, get, request
from kit.posthouse import free_port

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    proxy / BACKEND
    proxy /url http://BACKEND
    proxy /base http://BACKEND/one/two
    proxy /slash http://BACKEND/one/
    proxy /query http://BACKEND/one?a=1&b=2
    proxy /cut http://BACKEND/one {
        without /cut
    }
    proxy /credentials http://user:p%40ss@BACKEND {
        header_downstream X-Upstream {upstream}
    }
}
"""


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/url/x", "/url/x"),
        ("/base", "/one/two/base"),
        ("/base/x?q=1", "/one/two/base/x?q=1"),
        ("/base/a%2Fb%20c", "/one/two/base/a%2Fb%20c"),
        ("/slash/x", "/one/slash/x"),
        ("/query/x", "/one/query/x?a=1&b=2"),
        ("/query/x?c=3", "/one/query/x?a=1&b=2&c=3"),
        ("/cut/x", "/one/x"),
        ("/cut", "/one"),
        ("/cut/x/cut/y", "/one/x/cut/y"),
        ("/x?", "/x?"),
        ("/x//y?a=/../b", "/x//y?a=/../b"),
    ],
)
def test_paths_are_joined(stage: Stage, target: str, sent: str) -> None:
    assert stage.get(target).status == 200
    found = stage.backend.requests[0]
    assert found.target == sent.encode() or (sent == "/one" and found.target == b"/one/")
    assert found.field("Host") == stage.backend.address.encode()


def test_credentials_are_sent_and_never_shown(stage: Stage) -> None:
    answer = stage.get("/credentials")
    assert stage.backend.requests[0].field("Authorization") == b"Basic dXNlcjpwQHNz"
    assert stage.backend.requests[0].field("Host") == stage.backend.address.encode()
    assert answer.field("X-Upstream") == b"http://" + stage.backend.address.encode()
    line = json.loads(stage.posthouse.wait_access(1)[-1])
    assert line["upstream"] == "http://" + stage.backend.address
    stage.backend.on_request = lambda asked, connection: connection.close()
    assert stage.get("/credentials").status == 502
    shown = stage.posthouse.stderr() + stage.posthouse.stdout() + "".join(stage.posthouse.access_log())
    assert not any(secret in shown for secret in ("p%40ss", "p@ss", "user:", "dXNlcjpwQHNz"))


def test_the_clients_credentials_come_first(stage: Stage) -> None:
    assert stage.get("/credentials", [("Authorization", "Bearer own")]).status == 200
    assert stage.backend.requests[0].all("Authorization") == [b"Bearer own"]


# Backends that are not one TCP port.


class Handler(BaseHTTPRequestHandler):
    """Answers with where it listens and with the Host it was asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        where = self.server.server_address
        name = where[1] if isinstance(where, tuple) else Path(str(where)).name
        body = f"{name} {self.headers['Host']} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        """A Unix socket's peer has no address."""
        return ""

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class UnixServer(ThreadingUnixStreamServer):
    daemon_threads = True


class TcpServer(ThreadingHTTPServer):
    daemon_threads = True


Start = Callable[[object], str]


@pytest.fixture
def listen() -> Iterator[Start]:
    """Start a server on a port or on the path of a Unix socket; its address as a TO is written."""
    with ExitStack() as stack:

        def start(where: object) -> str:
            made: UnixServer | TcpServer
            if isinstance(where, Path):
                made = UnixServer(str(where), Handler)
            else:
                assert isinstance(where, int)
                made = TcpServer(("127.0.0.1", where), Handler)
            thread = threading.Thread(target=made.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(made.server_close)
            stack.callback(thread.join, 5)
            stack.callback(made.shutdown)
            return f"unix:{where}" if isinstance(where, Path) else f"127.0.0.1:{where}"

        yield start


def free_range(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


SITE = "http://:PORT {{\n bind 127.0.0.1\n log / access.log json\n proxy / {} {{\n  policy round_robin\n }}\n}}\n"


def ask(posthouse: Posthouse, count: int, target: str = "/x") -> list[str]:
    return [get(posthouse.named_port(), target).body.decode() for _ in range(count)]


@pytest.mark.parametrize("form", ["unix:{}", "unix://{}"], ids=["short", "url"])
def test_unix_socket(
    listen: Start, start_posthouse: Callable[..., Posthouse], tmp_path: Path, form: str
) -> None:
    path = tmp_path / "app.sock"
    listen(path)
    posthouse = start_posthouse(SITE.format(form.format(path)))
    assert ask(posthouse, 3) == ["app.sock localhost /x"] * 3
    line = json.loads(posthouse.wait_access(3)[0])
    assert line["upstream"] == form.format(path).replace("unix://", "unix:") or line[
        "upstream"
    ] == form.format(path)


def test_unix_socket_that_is_not_there(start_posthouse: Callable[..., Posthouse], tmp_path: Path) -> None:
    posthouse = start_posthouse(SITE.format(f"unix:{tmp_path}/none.sock"))
    assert get(posthouse.named_port()).status == 502
    assert json.loads(posthouse.wait_access(1)[0])["failure"] == "connect"


def test_port_range(listen: Start, start_posthouse: Callable[..., Posthouse]) -> None:
    """One backend for each port, in order, with the path on each."""
    first = free_range(3)
    for port in range(first, first + 3):
        listen(port)
    posthouse = start_posthouse(SITE.format(f"http://127.0.0.1:{first}-{first + 2}/base"))
    answers = ask(posthouse, 6)
    assert sorted(answers) == sorted(
        f"{port} 127.0.0.1:{port} /base/x" for port in range(first, first + 3) for _ in range(2)
    )


def test_several_kinds_in_one_pool(
    listen: Start, start_posthouse: Callable[..., Posthouse], tmp_path: Path, backend: ScriptedBackend
) -> None:
    """On the line and in `upstream` lines; a host name that begins with "http" is a host name."""
    first = free_range(2)
    unix = listen(tmp_path / "app.sock")
    for port in (first, first + 1):
        listen(port)
    backend.on_request = named(b"scripted")
    posthouse = start_posthouse(
        """
        http://:PORT {
            bind 127.0.0.1
            proxy / BACKEND {
                policy round_robin
                upstream UNIX
                upstream 127.0.0.1:RANGE
            }
            proxy /http httpd.invalid:8080
        }
        """,
        BACKEND=backend.address,
        UNIX=unix,
        RANGE=f"{first}-{first + 1}",
    )
    words = [answer.split()[0] for answer in ask(posthouse, 8)]
    assert sorted(words) == sorted(["scripted", "app.sock", str(first), str(first + 1)] * 2)
    assert get(posthouse.named_port(), "/http").status in (502, 503)


def test_only_upstream_lines(start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend) -> None:
    site = "http://:PORT {\n bind 127.0.0.1\n proxy / {\n  upstream BACKEND\n }\n}\n"
    posthouse = start_posthouse(site, BACKEND=backend.address)
    assert get(posthouse.named_port()).body == b"ok"


@pytest.mark.parametrize("form", ["localhost:{}", "http://localhost:{}", ":{}"])
def test_the_local_machine(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend, form: str
) -> None:
    """A name with an address that nobody listens on (::1) is no obstacle."""
    to = form.format(backend.port)
    posthouse = start_posthouse(f"http://:PORT {{\n bind 127.0.0.1\n proxy / {to}\n}}\n")
    assert get(posthouse.named_port()).body == b"ok"
    host = backend.requests[0].field("Host")
    assert host is not None
    assert host.decode() in (to.removeprefix("http://"), f"localhost:{backend.port}")


def test_the_same_address_twice_is_two_backends(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    site = "http://:PORT {\n bind 127.0.0.1\n proxy / BACKEND BACKEND {\n  max_conns 1\n }\n}\n"
    posthouse = start_posthouse(site, BACKEND=backend.address)
    clients = []
    backend.on_request = lambda asked, connection: connection.backend.hold()
    for number in range(1, 3):
        client = RawClient(posthouse.named_port())
        client.send(request("GET", "/"))
        backend.wait_requests(number)
        clients.append(client)
    assert get(posthouse.named_port()).status == 503
    for client in clients:
        client.close()
