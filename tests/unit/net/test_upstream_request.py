"""Writing to a backend, and rule 7: a connection is used again only after a clean, complete exchange."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from posthouse.errors import FailureKind, Sent
from posthouse.net.flow import PEER_FULL
from posthouse.net.idle import IDLE_SECONDS
from posthouse.net.timers import NEVER
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.net.upstream_request import GOODBYE_SECONDS
from posthouse.protocol.fields import Field
from unit.net.fakes import Backend, FakeAttempt
from unit.net.messages import LATE
from unit.net.wire import Stand, Wire

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def answered(backend: Backend, response: bytes = EMPTY) -> FakeAttempt:
    """A request and its complete response; not released yet."""
    attempt = backend.ask(FakeAttempt())
    backend.send(response)
    return attempt


def is_kept(backend: Backend) -> bool:
    """Whether the next request would get this connection, which then must be open."""
    backend.stand.turn()
    kept = backend.stand.idle.acquire("b")
    assert kept is None or (kept is backend.connection and not backend.wire.is_closed)
    assert kept is not None or backend.wire.is_closed
    return kept is not None


# -- the request


def test_a_sized_body_goes_as_it_is() -> None:
    backend = Backend()
    connection = backend.connection
    connection.begin(FakeAttempt(), NEVER, is_bodiless=False)
    connection.send(b"head")
    connection.expect_body(is_chunking=False)
    connection.send_body(b"hello")
    connection.send_end([Field(b"Sum", b"1")])
    assert backend.wire.take() == b"headhello"


def test_a_chunked_body_goes_in_chunks_of_ours() -> None:
    backend = Backend()
    connection = backend.connection
    connection.begin(FakeAttempt(), NEVER, is_bodiless=False)
    connection.send(b"head")
    connection.expect_body(is_chunking=True)
    connection.send_body(b"hello")
    connection.send_body(b"x" * 16)
    connection.send_end([Field(b"Sum", b"1")])
    assert backend.wire.take() == b"head5\r\nhello\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\nSum: 1\r\n\r\n"


def test_the_next_request_is_not_chunked_because_the_last_was() -> None:
    backend = Backend()
    connection = backend.connection
    connection.begin(FakeAttempt(), NEVER, is_bodiless=False)
    connection.send(b"head")
    connection.expect_body(is_chunking=True)
    connection.send_end([])
    backend.send(EMPTY)
    connection.release(8)
    assert is_kept(backend)
    connection.begin(FakeAttempt(), NEVER, is_bodiless=False)
    connection.send(b"head")
    backend.wire.take()
    connection.expect_body(is_chunking=False)
    connection.send_body(b"a")
    connection.send_end([])
    assert backend.wire.take() == b"a"


def test_what_was_sent_when_it_failed() -> None:
    """Nothing handed to the socket: the application can't have seen the request."""
    for is_sent, sent in ((False, Sent.NOTHING), (True, Sent.SOME)):
        backend = Backend()
        attempt = FakeAttempt()
        backend.connection.begin(attempt, NEVER, is_bodiless=False)
        if is_sent:
            backend.connection.send(b"h")
        backend.wire.lose(ConnectionResetError("gone"))
        assert attempt.failure is not None
        assert (attempt.failure.sent, attempt.failure.kind) == (sent, FailureKind.RESET)
        assert "gone" in attempt.failure.reason


def test_a_second_request_on_the_connection_starts_from_nothing() -> None:
    """What the first one sent, was told and came back says nothing about the second."""
    backend = Backend()
    answered(backend)
    backend.connection.release(8)
    assert is_kept(backend)
    attempt = FakeAttempt()
    backend.connection.begin(attempt, NEVER, is_bodiless=False)
    backend.wire.feed_eof()
    assert attempt.failure is not None
    assert (attempt.failure.sent, attempt.failure.is_reused) == (Sent.NOTHING, True)
    assert not attempt.failure.is_response_started


# -- rule 7: reuse


def test_a_clean_exchange_leaves_a_warm_connection() -> None:
    backend = Backend()
    for _ in range(5):
        attempt = answered(backend)
        assert attempt.names == ["head", "end"]
        backend.connection.release(8)
        assert is_kept(backend)
        assert backend.connection.is_reused


def body_not_finished(backend: Backend) -> None:
    backend.connection.expect_body(is_chunking=False)
    backend.connection.send_body(b"a")
    backend.send(EMPTY)


def response_not_begun(backend: Backend) -> None:
    backend.send()


def response_not_finished(backend: Backend) -> None:
    backend.send(EMPTY.replace(b": 0", b": 5"))


def says_close(backend: Backend) -> None:
    backend.send(EMPTY.replace(b"OK", b"OK\r\nConnection: close"))


def speaks_http_1_0(backend: Backend) -> None:
    backend.send(EMPTY.replace(b"1.1", b"1.0"))


def says_more_in_the_same_packet(backend: Backend) -> None:
    backend.send(EMPTY + b"H")


def says_more_in_the_next_packet(backend: Backend) -> None:
    backend.send(EMPTY, b"H")


def ends(backend: Backend) -> None:
    backend.send(EMPTY)
    backend.wire.feed_eof()


def resets(backend: Backend) -> None:
    backend.send(EMPTY)
    backend.wire.lose(ConnectionResetError())


def has_not_taken_all(backend: Backend) -> None:
    backend.wire.stall()
    backend.connection.send_body(b"x" * 10)
    backend.send(EMPTY)


UNCLEAN = [
    *(body_not_finished, response_not_begun, response_not_finished, says_close, speaks_http_1_0),
    *(says_more_in_the_same_packet, says_more_in_the_next_packet, ends, resets, has_not_taken_all),
]


@pytest.mark.parametrize("happens", UNCLEAN, ids=lambda happens: happens.__name__)
def test_after_anything_else_the_connection_is_closed(happens: Callable[[Backend], None]) -> None:
    backend = Backend()
    backend.ask(FakeAttempt())
    happens(backend)
    backend.connection.release(8)
    assert not is_kept(backend)
    backend.stand.turn()
    assert not any(backend.connection in bucket for bucket in backend.stand.reactor.timers._buckets.values())


@pytest.mark.parametrize(("most", "expected"), [(0, 0), (1, 1), (2, 2), (3, 2)])
def test_only_so_many_are_kept(most: int, expected: int) -> None:
    stand = Stand()
    backends = [Backend(stand), Backend(stand)]
    for backend in backends:
        answered(backend)
    for backend in backends:
        backend.connection.release(most)
    stand.turn()
    assert len(stand.idle) == expected
    assert sum(not backend.wire.is_closed for backend in backends) == expected


def idle_backend() -> Backend:
    backend = Backend()
    answered(backend)
    backend.connection.release(8)
    assert len(backend.stand.idle) == 1
    return backend


@pytest.mark.parametrize("data", [EMPTY, b"\r\n", b"x", b"HTTP/1.1 408 Timeout\r\n\r\n"])
def test_whatever_arrives_while_idle_ends_the_connection(data: bytes) -> None:
    """No response byte may reach a request that did not ask for it."""
    backend = idle_backend()
    backend.send(data)
    assert len(backend.stand.idle) == 0 and backend.wire.is_aborted


@pytest.mark.parametrize("end", ["eof", "reset"])
def test_an_end_while_idle_is_nobodys_failure(end: str) -> None:
    backend = idle_backend()
    if end == "eof":
        backend.wire.feed_eof()
    else:
        backend.wire.lose(ConnectionResetError())
    backend.stand.turn()
    assert len(backend.stand.idle) == 0
    assert not any(backend.connection in bucket for bucket in backend.stand.reactor.timers._buckets.values())


def test_idle_connections_end_in_time() -> None:
    backend = idle_backend()
    backend.stand.advance(IDLE_SECONDS - 0.01)
    assert len(backend.stand.idle) == 1 and not backend.wire.is_closed
    backend.stand.advance(0.01 + LATE)
    assert len(backend.stand.idle) == 0 and backend.wire.is_aborted


def test_the_idle_time_does_not_count_against_the_next_request() -> None:
    backend = idle_backend()
    backend.stand.advance(IDLE_SECONDS - 1.0)
    assert is_kept(backend)
    attempt = backend.ask(FakeAttempt())
    backend.stand.advance(299.0)
    assert attempt.failure is None
    backend.send(EMPTY)
    assert attempt.names == ["head", "end"]


def test_waits_that_are_off() -> None:
    backend = idle_backend()
    assert is_kept(backend)
    attempt = FakeAttempt()
    backend.connection.begin(attempt, NEVER, is_bodiless=False)
    backend.connection.send(b"x")
    backend.connection.wait(NEVER, backend.stand.loop.now)
    backend.stand.advance(100_000.0)
    backend.send(EMPTY.replace(b"0\r\n\r\n", b"1\r\n\r\n"))
    backend.stand.advance(100_000.0)
    backend.send(b"x")
    assert attempt.names == ["head", "body", "end"]


def test_a_connection_that_was_not_read_is_read_when_idle() -> None:
    """Or its end would not be noticed, nor bytes that nobody asked for."""
    backend = Backend()
    answered(backend)
    backend.connection.block(PEER_FULL)
    backend.connection.release(8)
    assert not backend.wire.is_paused
    backend.send(b"x")
    assert len(backend.stand.idle) == 0


# -- the end


def test_close_tells_nobody() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.connection.close()
    backend.send(EMPTY)
    assert attempt.events == [] and backend.wire.is_aborted


def test_a_failure_is_told_after_the_connection_was_closed() -> None:
    """The exchange may dial again from inside the call."""

    def look(attempt: FakeAttempt) -> None:
        if attempt.names[-1] == "failure":
            assert backend.wire.is_aborted and backend.connection.exchange is None

    backend = Backend()
    attempt = backend.ask(FakeAttempt(look))
    backend.send(b"nonsense")
    assert attempt.names == ["failure"]


def test_an_abandoned_connection_is_aborted_when_it_connects() -> None:
    stand = Stand()
    connection = UpstreamH1(stand.reactor, stand.idle, "b")
    connection.abandon()
    assert Wire(stand.loop, connection).is_aborted
    assert connection.transport is None, "a circle: uvloop does not let go of a protocol that never began"


def test_an_abandoned_connection_that_is_connected_is_aborted() -> None:
    backend = Backend()
    backend.connection.abandon()
    assert backend.wire.is_aborted
    assert backend.connection.transport is None and not hasattr(backend.connection, "flow")


def test_adopting_a_connection() -> None:
    """The winner of a race lends its transport to the connection that was promised."""
    winner = Backend()
    connection = UpstreamH1(winner.stand.reactor, winner.stand.idle, "b")
    connection.adopt(winner.connection)
    winner.connection = connection
    attempt = winner.ask(FakeAttempt())
    assert winner.wire.take().startswith(b"GET")
    winner.send(EMPTY)
    assert attempt.names == ["head", "end"]


def test_repr_says_which_and_what() -> None:
    assert "'b'" in repr(Backend().connection) and "reused=False" in repr(Backend().connection)


# -- the ear: what a backend said before it reset the connection


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def uploading(ours: socket.socket) -> tuple[Backend, FakeAttempt]:
    """In the middle of a request body, on a real descriptor."""
    backend = Backend()
    backend.wire.sock.descriptor = ours.fileno()
    attempt = backend.ask(FakeAttempt())
    backend.connection.expect_body(is_chunking=False)
    backend.connection.send_body(b"a")
    backend.connection.keep_ear()
    backend.connection.keep_ear()
    return backend, attempt


def test_an_answer_before_a_reset_is_heard(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    before = descriptors()
    backend, attempt = uploading(ours)
    assert descriptors() == before + 1
    theirs.sendall(EMPTY)
    backend.wire.lose(BrokenPipeError())
    assert attempt.names == ["head", "end"]
    backend.connection.release(8)
    assert len(backend.stand.idle) == 0
    assert descriptors() == before


def test_half_an_answer_before_a_reset_is_a_failure(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    before = descriptors()
    backend, attempt = uploading(ours)
    theirs.sendall(EMPTY.replace(b": 0", b": 5"))
    backend.wire.lose(BrokenPipeError())
    assert attempt.names == ["head", "failure"]
    assert attempt.failure is not None and attempt.failure.kind is FailureKind.TRUNCATED
    assert descriptors() == before


def test_nothing_before_a_reset_is_a_failure(pair: tuple[socket.socket, socket.socket]) -> None:
    backend, attempt = uploading(pair[0])
    backend.wire.lose(BrokenPipeError())
    assert attempt.names == ["failure"]


def sends_all(backend: Backend) -> None:
    backend.connection.send_end([])


def closes(backend: Backend) -> None:
    backend.connection.close()


def releases(backend: Backend) -> None:
    backend.send(EMPTY)
    backend.connection.release(8)


def is_late(backend: Backend) -> None:
    backend.stand.advance(1000.0)


@pytest.mark.parametrize(
    "happens", [sends_all, closes, releases, is_late], ids=lambda happens: happens.__name__
)
def test_the_ear_costs_no_descriptor_for_long(
    pair: tuple[socket.socket, socket.socket], happens: Callable[[Backend], None]
) -> None:
    before = descriptors()
    backend, _ = uploading(pair[0])
    happens(backend)
    assert descriptors() == before


def test_no_ear_without_a_descriptor() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.connection.keep_ear()
    backend.wire.lose(BrokenPipeError())
    assert attempt.names == ["failure"]


# -- over TLS


def over_tls(backend: Backend) -> Backend:
    """Its transport says that it is TLS."""
    known = {"tls": backend.wire, "socket": backend.wire.sock}
    backend.wire.get_extra_info = lambda name, default=None: known.get(name, default)  # type: ignore[method-assign]
    return backend


def test_there_is_no_ear_for_ciphertext(pair: tuple[socket.socket, socket.socket]) -> None:
    before = descriptors()
    backend = over_tls(Backend())
    backend.wire.sock.descriptor = pair[0].fileno()
    backend.ask(FakeAttempt())
    backend.connection.keep_ear()
    assert descriptors() == before


def warm(backend: Backend) -> None:
    backend.ask(FakeAttempt())
    backend.send(EMPTY)
    backend.connection.release(8)


def test_an_idle_connection_says_goodbye_for_a_while() -> None:
    backend = over_tls(Backend())
    warm(backend)
    backend.wire.close = lambda: setattr(backend.wire, "is_closed", True)  # type: ignore[method-assign]
    backend.connection.close()
    assert backend.wire.is_closed and not backend.wire.is_aborted
    backend.stand.advance(GOODBYE_SECONDS - 0.1)
    assert not backend.wire.is_aborted
    backend.stand.advance(0.2)
    assert backend.wire.is_aborted


def test_so_does_one_that_is_not_kept() -> None:
    backend = over_tls(Backend())
    backend.ask(FakeAttempt())
    backend.send(EMPTY)
    backend.connection.release(0)
    assert backend.wire.is_closed and not backend.wire.is_aborted


@pytest.mark.parametrize("unsent", [0, 1])
def test_a_busy_one_is_cut(unsent: int) -> None:
    backend = over_tls(Backend())
    backend.ask(FakeAttempt())
    if unsent:
        backend.send(EMPTY)
        backend.wire.buffered = 1
    backend.connection.close()
    assert backend.wire.is_aborted


def test_a_plain_one_has_nothing_to_say() -> None:
    backend = Backend()
    warm(backend)
    backend.connection.close()
    assert backend.wire.is_aborted
