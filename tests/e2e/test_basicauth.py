"""`basicauth` against a real process: who gets in, by which spelling nobody does, and what guessing costs whom."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.test_paths import FORBIDDEN
from e2e.tunnels import UPGRADE, copy_back, take, tunnel
from kit import Posthouse, RawClient, Response, Stage, request
from kit.http1 import Fields

# bcrypt of "hiccup": cost 8, some 15 ms.
HASH = "$2b$08$ARDo.PYmwkZFblvj5qVxKOtK5HWnl2aNK.XCjDX61C0AuErWJCqCm"

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log
    basicauth /admin Bob "hic:cup ü"
    basicauth /admin Ann milkshakes {
        realm "Ann's \\"own\\""
    }
    basicauth /hashed Bob HASH
    basicauth /file sha1 htpasswd=USERS
    basicauth /file md5 htpasswd=USERS
    proxy / BACKEND {
        header_upstream X-User {user}
    }
}
"""
USERS = "sha1:{SHA}dcAUljwz99qFjYR0YLTXx0RqLww=\nmd5:$apr1$l42y8rex$pOA2VJ0x/0TwaFeAF9nX61\n"


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    users = tmp_path_factory.mktemp("users") / "users"
    users.write_text(USERS)
    with Stage(CADDYFILE, HASH=HASH, USERS=str(users)) as started:
        yield started


def basic(user: str, password: str) -> Fields:
    return [("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())]


def test_the_right_password_and_no_other(stage: Stage) -> None:
    assert stage.get("/admin/x", basic("Bob", "hic:cup ü")).status == 200
    assert stage.backend.requests[-1].field("X-User") == b"Bob"
    assert stage.get("/admin", basic("Ann", "milkshakes")).status == 200
    assert stage.backend.requests[-1].field("X-User") == b"Ann"
    seen = len(stage.backend.requests)
    wrong = [basic("Bob", "hic:cup"), basic("Bob", ""), basic("bob", "hic:cup ü"), basic("Ann", "hic:cup ü"), [],
             [("Authorization", "Bearer x")], [("Authorization", "Basic !")]]  # fmt: skip
    for fields in wrong:
        assert stage.get("/admin", fields).status == 401
    assert len(stage.backend.requests) == seen


def test_what_a_client_is_asked(stage: Stage) -> None:
    answer = stage.get("/admin")
    assert (answer.status, answer.body) == (401, b"401 Unauthorized\n")
    assert answer.field("WWW-Authenticate") == b'Basic realm="Ann\'s \\"own\\"", charset="UTF-8"'
    assert stage.get("/hashed").field("WWW-Authenticate") == b'Basic realm="Restricted", charset="UTF-8"'


@pytest.mark.parametrize("target", FORBIDDEN)
def test_no_spelling_walks_around_it(stage: Stage, target: str) -> None:
    with stage.client() as client:
        answer = client.exchange(request("GET", target))
    assert answer.status in (400, 401)
    assert stage.backend.received() == b""


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "POST", "DELETE", "PROPFIND", "get"])
def test_every_method_is_asked(stage: Stage, method: str) -> None:
    with stage.client() as client:
        assert client.exchange(request(method, "/admin"), method).status == 401
    assert stage.backend.received() == b""


def test_other_paths_are_open_and_nobody_is_somebody_there(stage: Stage) -> None:
    assert stage.get("/", basic("Bob", "hic:cup ü")).status == 200
    assert stage.backend.requests[-1].field("X-User") is None


def test_who_it_is_belongs_to_the_request(stage: Stage) -> None:
    with stage.client() as client:
        for target, fields, user in (("/admin", basic("Bob", "hic:cup ü"), b"Bob"), ("/", [], None)) * 2:
            assert client.exchange(request("GET", target, fields)).status == 200
            assert stage.backend.requests[-1].field("X-User") == user
        assert client.exchange(request("GET", "/admin")).status == 401
    lines = stage.posthouse.wait_access(5)
    assert any(" Bob [" in line for line in lines)


@pytest.mark.parametrize("user", ["sha1", "md5"])
def test_users_of_a_file(stage: Stage, user: str) -> None:
    assert stage.get("/file", basic(user, "IedFOuGmTpT8")).status == 200
    assert stage.get("/file", basic(user, "IedFOuGmTpT9")).status == 401
    assert stage.get("/file", basic("nobody", "IedFOuGmTpT8")).status == 401


def test_a_body_is_held_while_the_password_is_checked(stage: Stage) -> None:
    body = bytes(range(256)) * 2000
    with stage.client() as client:
        client.send(
            request("POST", "/hashed", basic("Bob", "hiccup"), body)
            + request("GET", "/hashed", basic("Bob", "no"))
        )
        assert client.read_response("POST").status == 200
        assert client.read_response().status == 401
    assert stage.backend.requests[0].body == body


def test_an_upgrade_waits_for_the_password_too(stage: Stage) -> None:
    stage.backend.on_connect = tunnel(copy_back)
    with stage.client() as client:
        wrong = request("GET", "/hashed", [*UPGRADE, *basic("Bob", "no")])
        assert client.exchange(wrong).status == 401
    with stage.client() as client:
        right = request("GET", "/hashed", [*UPGRADE, *basic("Bob", "hiccup")])
        assert client.exchange(right).status == 101
        client.send(b"hello")
        take(client, b"hello")


class From(RawClient):
    """A client with another address."""

    def __init__(self, port: int, source: str) -> None:
        self.timeout, self.buffer = 10.0, bytearray()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10.0, source_address=(source, 0))


def test_who_guesses_keeps_nobody_out(stage: Stage) -> None:
    """200 wrong passwords at once: past the bound they are told to come back; others get in meanwhile."""
    known, other = stage.client(), From(stage.port, "127.0.0.2")
    assert known.exchange(request("GET", "/hashed", basic("Bob", "hiccup"))).status == 200
    guesses = [stage.client() for _ in range(200)]
    for number, client in enumerate(guesses):
        client.send(request("GET", "/hashed", basic("Bob", f"guess {number}")))
    with other:
        other.send(request("GET", "/hashed", basic("Bob", "hiccup")))
        assert known.exchange(request("GET", "/hashed", basic("Bob", "hiccup"))).status == 200
        assert known.exchange(request("GET", "/open")).status == 200
        assert other.read_response().status == 200
    answers: list[Response] = [client.read_response() for client in guesses]
    assert {answer.status for answer in answers} == {401, 503}
    assert all(answer.field("Retry-After") == b"1" for answer in answers if answer.status == 503)
    assert all(asked.target in (b"/hashed", b"/open") for asked in stage.backend.requests)
    assert len(stage.backend.requests) == 4


def test_who_leaves_while_waiting_is_no_trouble(stage: Stage) -> None:
    for number in range(5):
        stage.client().send(request("GET", "/hashed", basic("Bob", f"left {number}")))
    stage.clear()
    assert stage.get("/hashed", basic("Bob", "hiccup")).status == 200


def test_no_password_in_any_log(stage: Stage) -> None:
    assert stage.get("/admin", basic("Bob", "hunter2")).status == 401
    stage.posthouse.wait_access(1)
    written = stage.posthouse.stderr() + "\n".join(stage.posthouse.access_log())
    encoded = base64.b64encode(b"Bob:hunter2").decode()
    for secret in ("hunter2", encoded, "milkshakes", "hic:cup", HASH):
        assert secret not in written


def test_a_changed_file_counts_from_the_next_reload(
    start_posthouse: Callable[..., Posthouse], tmp_path: Path
) -> None:
    users = tmp_path / "users"
    users.write_text(USERS)
    caddyfile = "http://:PORT {\nbind 127.0.0.1\nbasicauth / sha1 htpasswd=USERS\nstatus 204 /\n}\n"
    posthouse = start_posthouse(caddyfile, USERS=str(users))

    def status(password: str) -> int:
        with RawClient(posthouse.port) as client:
            return client.exchange(request("GET", "/", basic("sha1", password))).status

    assert (status("IedFOuGmTpT8"), status("new")) == (204, 401)
    users.write_text("sha1:new\n")
    posthouse.reload(caddyfile)
    posthouse.wait_stderr(r"INFO reloaded")
    assert (status("IedFOuGmTpT8"), status("new")) == (401, 204)
    users.unlink()
    posthouse.reload(caddyfile)
    posthouse.wait_stderr(r"password file .* cannot be read: No such file or directory")
    posthouse.wait_stderr(r"reload failed, the old configuration stays")
    assert status("new") == 204
