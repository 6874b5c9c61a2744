"""Chat and Echo talk to each other; frames are those of RFC 6455."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from benchmarks.chat import Chat, join, percentile
from benchmarks.echo import Echo
from benchmarks.websocket import accept, asked, frame, granted


@contextlib.contextmanager
def echoing(size: int) -> Iterator[int]:
    """An Echo in a thread; its port."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        echo = Echo(listener, size)

        def run() -> None:
            while not ended.is_set():
                echo.turn(0.05)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()
            echo.close()


@pytest.mark.parametrize("size", [5, 200, 70000])
def test_every_message_gets_its_echo(size: int) -> None:
    with echoing(size) as port:
        chat = Chat([join(port) for _ in range(3)], size)
        chat.run(0.05)
    assert len(chat.waited) >= 3
    assert chat.failed == 0


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_connection_that_ends_has_failed_and_the_run_with_the_last_one(is_gone: bool) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.close() if is_gone else theirs.shutdown(socket.SHUT_WR)
        chat = Chat([ours], 5)
        assert chat.run(30.0) < 30.0
    assert (chat.failed, chat.waited) == (1, [])


def test_an_echo_with_too_many_bytes_has_failed() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(frame(5, is_masked=False) + b"x")
    with theirs:
        chat = Chat([ours], 5)
        assert chat.run(30.0) < 30.0
    assert (chat.failed, chat.waited) == (1, [])


def test_echo_answers_a_plain_request() -> None:
    with echoing(5) as port, socket.create_connection(("127.0.0.1", port), 5.0) as opened:
        opened.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert opened.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_answer_other_than_101_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            opened, _ = listener.accept()
            with opened:
                opened.recv(4096)
                opened.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(RuntimeError, match="403"):
            join(listener.getsockname()[1])
        thread.join()


def test_the_key_is_answered_as_in_the_rfc() -> None:
    """RFC 6455 1.3."""
    assert accept(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_handshake_is_granted_however_its_names_are_written() -> None:
    answer = granted(asked(80))
    assert answer is not None and answer.startswith(b"HTTP/1.1 101 ")
    assert granted(asked(80).replace(b"Sec-WebSocket-Key", b"sec-websocket-key")) == answer


@pytest.mark.parametrize(
    ("size", "is_masked", "head"),
    [
        (125, False, "827d"),
        (126, False, "827e007e"),
        (65535, True, "82feffff00000000"),
        (65536, True, "82ff000000000001000000000000"),
    ],
)
def test_the_length_of_a_frame(size: int, is_masked: bool, head: str) -> None:
    made = frame(size, is_masked=is_masked)
    assert made.hex()[: len(head)] == head
    assert len(made) == len(head) // 2 + size


def test_percentiles() -> None:
    assert percentile(list(range(100)), 0.99) == 99
    assert percentile(list(range(100)), 0.5) == 50
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.5) == 0
