"""In front of real servers, with real clients: uvicorn, gunicorn, nginx, `websockets` and curl.

What is missing is skipped with the reason; POSTHOUSE_REQUIRE_PEERS=1 makes that a failure.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from e2e import peers
from e2e.peers import Peer
from kit import Posthouse, RawClient, chunk, get, request
from kit.backend import PATIENCE
from kit.http1 import Fields

pytestmark = pytest.mark.peer

BODY = random.Random(11).randbytes(3 << 20)
CHUNKED = ("Transfer-Encoding", "chunked")


def in_front(peer: Peer) -> Posthouse:
    site = "http://:PORT {\n bind 127.0.0.1\n log / access.log json\n proxy / PEER\n}\n"
    return Posthouse(site, PEER=peer.address)


@pytest.fixture(scope="module")
def uvicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Posthouse]]:
    folder = tmp_path_factory.mktemp("uvicorn")
    with peers.running(peers.uvicorn(folder), folder) as peer, in_front(peer) as posthouse:
        yield peer, posthouse


@pytest.fixture(scope="module", params=["sync", "gthread"])
def gunicorn(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Peer, Posthouse]]:
    """Workers that retire after 40 requests, so that the test meets their ends."""
    folder = tmp_path_factory.mktemp("gunicorn")
    options = ["--worker-class", request.param, "--workers", "2", "--threads", "4", "--max-requests", "40"]
    with peers.running(peers.gunicorn(folder, *options), folder) as peer, in_front(peer) as posthouse:
        yield peer, posthouse


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Posthouse]]:
    folder = tmp_path_factory.mktemp("nginx")
    command = peers.nginx(folder)
    (folder / "files" / "small.txt").write_bytes(b"small file\n" * 20)
    (folder / "files" / "large.bin").write_bytes(BODY * 4)
    with peers.running(command, folder) as peer, in_front(peer) as posthouse:
        yield peer, posthouse


# Python servers.


def expected(method: str, target: str, body: bytes = b"") -> bytes:
    return f"{method} {target} {len(body)} {hashlib.sha256(body).hexdigest()} 127.0.0.1".encode()


def check_requests(posthouse: Posthouse) -> None:
    """All forms of requests, on kept and on new connections."""
    with RawClient(posthouse.named_port()) as client:
        for number in range(60):
            assert client.exchange(request("GET", f"/{number}")).body == expected("GET", f"/{number}")
        for size in (0, 1, 65_536, len(BODY)):
            body = BODY[:size]
            assert client.exchange(request("POST", "/p", body=body)).body == expected("POST", "/p", body)
        pieces = [BODY[at : at + 50_000] for at in range(0, len(BODY), 50_000)]
        data = request("PUT", "/c", [CHUNKED]) + chunk(*pieces)
        assert client.exchange(data).body == expected("PUT", "/c", BODY)
        answer = client.exchange(
            request("POST", "/e", [("Expect", "100-continue"), ("Content-Length", "3")]) + b"abc"
        )
        assert answer.body == expected("POST", "/e", b"abc")
        assert client.exchange(request("HEAD", "/h"), "HEAD").field("Content-Length") is not None
        assert client.is_open()
    assert get(posthouse.named_port(), "/d%C3%BCr?a=b%20c").status == 200


def check_stream(posthouse: Posthouse) -> None:
    """Five events, 50 ms apart: the first is here long before the last."""
    with RawClient(posthouse.named_port()) as client:
        client.send(request("GET", "/stream"))
        client.read_head()
        while b"data: 0" not in client.buffer:
            assert client.fill() == ""
        started = time.monotonic()
        while b"0\r\n\r\n" not in client.buffer:
            assert client.fill() == ""
        assert time.monotonic() - started > 0.1
        assert client.buffer.count(b"data: ") == 5


def check_refusal_of_an_upload(posthouse: Posthouse) -> None:
    """The application answers without reading 12 MiB: the client gets an answer, whole, while it still sends.

    A server that then closes with unread bytes resets, and its own answer may be lost to it: 502 (nginx and HAProxy
    before the same gunicorn lose it in every second try).
    """
    with RawClient(posthouse.named_port()) as client:
        data = request("POST", "/refuse", body=BODY * 4)
        sending = threading.Thread(target=client.send, args=(data,))
        sending.start()
        answer = client.read_response()
        if answer.field("Connection") == b"close":
            client.end(5)
        sending.join(20)
        assert (answer.status, answer.body) in ((403, b"no"), (502, b"502 Bad Gateway\n"))
    assert get(posthouse.named_port(), "/after").status == 200


def test_uvicorn_requests(uvicorn: tuple[Peer, Posthouse]) -> None:
    check_requests(uvicorn[1])


def test_gunicorn_requests(gunicorn: tuple[Peer, Posthouse]) -> None:
    check_requests(gunicorn[1])


def test_uvicorn_stream(uvicorn: tuple[Peer, Posthouse]) -> None:
    check_stream(uvicorn[1])


def test_gunicorn_stream(gunicorn: tuple[Peer, Posthouse]) -> None:
    check_stream(gunicorn[1])


def test_uvicorn_refuses_an_upload(uvicorn: tuple[Peer, Posthouse]) -> None:
    check_refusal_of_an_upload(uvicorn[1])


def test_gunicorn_refuses_an_upload(gunicorn: tuple[Peer, Posthouse]) -> None:
    check_refusal_of_an_upload(gunicorn[1])


def test_gunicorn_workers_retire_unnoticed(gunicorn: tuple[Peer, Posthouse]) -> None:
    """300 GETs over workers that end after 40: none is lost, without `try_duration`."""
    posthouse = gunicorn[1]
    with RawClient(posthouse.named_port()) as client:
        for number in range(300):
            answer = client.exchange(request("GET", f"/{number}"))
            assert (answer.status, answer.body) == (200, expected("GET", f"/{number}"))


def test_uvicorn_learns_that_the_client_has_gone(uvicorn: tuple[Peer, Posthouse]) -> None:
    peer, posthouse = uvicorn
    with RawClient(posthouse.named_port()) as client:
        client.send(request("GET", "/wait"))
        assert client.is_open(0.2)
    deadline = time.monotonic() + PATIENCE
    while "GONE" not in peer.output():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_uvicorn_websocket(uvicorn: tuple[Peer, Posthouse]) -> None:
    with connect(f"ws://127.0.0.1:{uvicorn[1].named_port()}/ws", proxy=None) as websocket:
        for message in ("hello", "x" * 100_000, ""):
            websocket.send(message)
            assert websocket.recv(5) == message.upper()


def test_gunicorn_knows_no_websocket(gunicorn: tuple[Peer, Posthouse]) -> None:
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{gunicorn[1].named_port()}/ws", proxy=None)


# nginx.


def test_nginx_kept_connections(nginx: tuple[Peer, Posthouse]) -> None:
    """It closes each after 20 requests: 200 in a row, none lost, and connections are used again in between."""
    numbers = set()
    with RawClient(nginx[1].named_port()) as client:
        for number in range(200):
            answer = client.exchange(request("GET", "/count"))
            assert (answer.status, answer.body) == (200, b"GET /count"), number
            numbers.add(answer.field("X-Connection"))
        assert client.is_open()
    assert 10 <= len(numbers) <= 15


def test_nginx_forms_of_answers(nginx: tuple[Peer, Posthouse]) -> None:
    with RawClient(nginx[1].named_port()) as client:

        def ask(target: str, fields: Fields = (), method: str = "GET") -> tuple[int, bytes]:
            answer = client.exchange(request(method, target, fields), method)
            return answer.status, answer.body

        small = b"small file\n" * 20
        first = client.exchange(request("GET", "/small.txt"))
        assert (first.status, first.body, first.field("Server") is not None) == (200, small, True)
        tag = first.field("ETag")
        assert tag is not None
        assert ask("/small.txt", [("If-None-Match", tag)]) == (304, b"")
        assert ask("/small.txt", [("Range", "bytes=6-9")]) == (206, b"file")
        assert ask("/small.txt", method="HEAD") == (200, b"")
        assert ask("/none") == (204, b"")
        assert ask("/nowhere")[0] == 404
        moved = client.exchange(request("GET", "/moved"))
        assert moved.status == 301 and (moved.field("Location") or b"").endswith(b"/elsewhere")
        packed = client.exchange(request("GET", "/small.txt", [("Accept-Encoding", "gzip")]))
        assert (packed.field("Content-Encoding"), packed.framing) == (b"gzip", "chunked")
        assert b"gzip" not in (client.exchange(request("GET", "/small.txt")).field("Content-Encoding") or b"")
        assert client.is_open()


def test_nginx_refuses_an_upload(nginx: tuple[Peer, Posthouse]) -> None:
    """Its 413 comes before the body; with Expect, before the client sends any of it."""
    with RawClient(nginx[1].named_port()) as client:
        client.send(request("POST", "/put", [("Expect", "100-continue"), ("Content-Length", "200000")]))
        answer = client.read_response()
        assert (answer.status, answer.informational) == (413, [])
    with RawClient(nginx[1].named_port()) as client:
        data = request("POST", "/put", body=BODY * 4)
        sending = threading.Thread(target=client.send, args=(data,))
        sending.start()
        assert client.read_response().status == 413
        client.end(5)
        sending.join(20)
    assert get(nginx[1].named_port(), "/count").status == 200


# curl.


def curl(*arguments: str) -> str:
    """Its output; fails with its words if it does."""
    command = [
        peers.require("curl"),
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "20",
        *arguments,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def url(posthouse: Posthouse, path: str) -> str:
    return f"http://127.0.0.1:{posthouse.named_port()}{path}"


def test_curl_forms_of_requests(uvicorn: tuple[Peer, Posthouse], tmp_path: Path) -> None:
    posthouse = uvicorn[1]
    upload = tmp_path / "upload"
    upload.write_bytes(BODY)
    assert curl(url(posthouse, "/x?y")).encode() == expected("GET", "/x")
    assert curl("--http1.0", url(posthouse, "/x")).encode() == expected("GET", "/x")
    assert curl("-d", "a=b", url(posthouse, "/x")).encode() == expected("POST", "/x", b"a=b")
    assert curl("-T", str(upload), url(posthouse, "/x")).encode() == expected("PUT", "/x", BODY)
    put = ["-T", str(upload), "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"]
    assert curl(*put, url(posthouse, "/x")).encode() == expected("PUT", "/x", BODY)
    head = curl("-I", url(posthouse, "/x"))
    assert head.startswith("HTTP/1.1 200 ") and "content-length:" in head.lower()
    three = curl(*(url(posthouse, f"/{number}") for number in range(3)), "-w", "%{num_connects}\\n")
    assert [line[-1] for line in three.splitlines()] == ["1", "0", "0"]


def test_curl_sees_a_stream_as_it_comes(uvicorn: tuple[Peer, Posthouse]) -> None:
    command = [
        peers.require("curl"),
        "-sSN",
        "--noproxy",
        "*",
        "--max-time",
        "20",
        url(uvicorn[1], "/stream"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"data: 0\n"
        started = time.monotonic()
        assert process.stdout.read().count(b"data: ") == 4
        assert time.monotonic() - started > 0.1


def test_curl_downloads_a_large_file(nginx: tuple[Peer, Posthouse], tmp_path: Path) -> None:
    target = tmp_path / "large.bin"
    curl("-o", str(target), url(nginx[1], "/large.bin"))
    assert target.read_bytes() == BODY * 4
    target.write_bytes(BODY)
    curl("-C", "-", "-o", str(target), url(nginx[1], "/large.bin"))
    assert target.read_bytes() == BODY * 4
    slow = curl(
        "--limit-rate",
        "20M",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download}",
        url(nginx[1], "/large.bin"),
    )
    assert slow == f"200 {len(BODY) * 4}"


def test_curl_learns_of_a_truncated_answer(tmp_path: Path) -> None:
    """The server is killed in the middle of a stream: curl must not take what came for the whole."""
    with peers.running(peers.uvicorn(tmp_path), tmp_path) as peer, in_front(peer) as posthouse:
        command = [
            peers.require("curl"),
            "-sSN",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            url(posthouse, "/stream"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"data: 0\n"
            peer.kill()
            process.communicate(timeout=10)
            assert process.returncode in (18, 56)
