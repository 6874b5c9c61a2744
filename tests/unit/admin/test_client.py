"""Asking over the admin socket: an answer, or one clear line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posthouse.admin import client
from posthouse.admin.client import fetch
from posthouse.errors import StartError


@contextmanager
def saying(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Somebody who listens there, hears one question and says this."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            thread.join(5)


def test_an_answer(tmp_path: Path) -> None:
    body = b'{"a": 1}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with saying(tmp_path / "a.sock", answer) as heard:
        assert fetch(str(tmp_path / "a.sock"), "/status") == {"a": 1}
    assert heard[0].startswith(b"GET /status HTTP/1.1\r\nHost: localhost\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "no answer from"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}x", "no answer from"),
        (b"SSH-2.0\r\n", "no answer from"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", "says 404 to /status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "says 200 to /status"),
    ],
)
def test_something_else(tmp_path: Path, answer: bytes, said: str) -> None:
    with saying(tmp_path / "a.sock", answer), pytest.raises(StartError, match=said):
        fetch(str(tmp_path / "a.sock"), "/status")


def test_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.sock"
    with pytest.raises(StartError, match=f"nobody listens at {path}"):
        fetch(str(path), "/status")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(StartError, match=f"nobody listens at {path}"):
        fetch(str(path), "/status")

    def refuse(self: object) -> None:
        raise PermissionError

    monkeypatch.setattr(client._Connection, "connect", refuse)
    with pytest.raises(StartError, match="may be asked by another user only"):
        fetch(str(path), "/status")


def test_what_is_refused_is_an_answer_too(tmp_path: Path) -> None:
    answer = b'HTTP/1.1 422 No\r\nContent-Length: 14\r\n\r\n{"error": "x"}'
    with saying(tmp_path / "a.sock", answer) as heard:
        assert client.ask(str(tmp_path / "a.sock"), "POST", "/reload") == (422, {"error": "x"})
    assert heard[0].startswith(b"POST /reload HTTP/1.1\r\n")
