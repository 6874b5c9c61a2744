"""Reading a backend's connection: what the exchange is told, and when the connection may be used again."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.balance.retry import is_stale
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.net.flow import PEER_FULL
from posthouse.net.pump import PUMP_FROM
from posthouse.net.tls_engine import TLSFault
from posthouse.net.upstream_h1 import INFORMATIONAL
from posthouse.protocol.chunked import CHUNKS_AT_ONCE
from posthouse.protocol.h1 import RESPONSE_FIELDS, RESPONSE_HEAD_BYTES
from unit.net.fakes import Backend, Event, FakeAttempt, Told
from unit.net.messages import LATE
from unit.net.wire import Stand, Wire
from unit.protocol.rows import rows

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"A: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_HEAD = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKED = CHUNKED_HEAD + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
WITH_A = [(b"A", b"1")]


def release_at_end(backend: Backend, most: int = 8) -> FakeAttempt:
    """An attempt that lets the connection go when its response is complete."""

    def react(attempt: FakeAttempt) -> None:
        if attempt.names[-1] == "end":
            backend.connection.release(most)

    return FakeAttempt(react)


def head(fields: list[tuple[bytes, bytes]], length: int, status: int = 200) -> Event:
    return "head", status, fields, length


# message, whether it answers HEAD, what is told, whether the connection may be used again
RESPONSES: dict[str, tuple[bytes, bool, list[Event], bool]] = {
    "sized": (SIZED, False, [head(WITH_A, 5), ("body", b"hello"), ("end", [])], True),
    "empty": (EMPTY, False, [head([], 0), ("end", [])], True),
    "chunked": (CHUNKED, False, [head([], -1), ("body", b"abcde"), ("end", [])], True),
    "empty chunked": (CHUNKED_HEAD + b"0\r\n\r\n", False, [head([], -1), ("end", [])], True),
    "trailers": (
        CHUNKED.replace(b"0\r\n", b"0\r\nSum: 1\r\nContent-Length: 9\r\n"),
        False,
        [head([], -1), ("body", b"abcde"), ("end", [(b"Sum", b"1")])],
        True,
    ),
    "close": (
        SIZED.replace(b"A: 1", b"Connection: close"),
        False,
        [head([], 5), ("body", b"hello"), ("end", [])],
        False,
    ),
    "chunked, close": (
        CHUNKED.replace(b"Tr", b"Connection: close\r\nTr", 1),
        False,
        [head([], -1), ("body", b"abcde"), ("end", [])],
        False,
    ),
    "HTTP/1.0": (
        SIZED.replace(b"1.1", b"1.0"),
        False,
        [head(WITH_A, 5), ("body", b"hello"), ("end", [])],
        False,
    ),
    "HTTP/1.0 kept": (
        SIZED.replace(b"1.1", b"1.0").replace(b"A: 1", b"Connection: keep-alive"),
        False,
        [head([], 5), ("body", b"hello"), ("end", [])],
        True,
    ),
    "HEAD, length": (OK + b"Content-Length: 5\r\n\r\n", True, [head([], 0), ("end", [])], True),
    "HEAD, chunked": (CHUNKED_HEAD, True, [head([], 0), ("end", [])], True),
    "HEAD, nothing said": (OK + b"\r\n", True, [head([], 0), ("end", [])], True),
    "HEAD, body all the same": (SIZED, True, [head(WITH_A, 0), ("end", [])], False),
    "204": (b"HTTP/1.1 204 No\r\n\r\n", False, [head([], 0, 204), ("end", [])], True),
    "204 with a length": (
        b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
        False,
        [head([], 0, 204), ("end", [])],
        True,
    ),
    "204 with a body": (
        b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello",
        False,
        [head([], 0, 204), ("end", [])],
        False,
    ),
    "304 with a length": (
        b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n",
        False,
        [head([], 0, 304), ("end", [])],
        True,
    ),
    "304 with a body": (
        b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\nhello",
        False,
        [head([], 0, 304), ("end", [])],
        False,
    ),
    "304 chunked": (
        b"HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        False,
        [head([], 0, 304), ("end", [])],
        False,
    ),
    "bytes after the length": (
        SIZED + b"x",
        False,
        [head(WITH_A, 5), ("body", b"hello"), ("end", [])],
        False,
    ),
    "a response nobody asked for": (
        SIZED + SIZED,
        False,
        [head(WITH_A, 5), ("body", b"hello"), ("end", [])],
        False,
    ),
    "bytes after the chunks": (
        CHUNKED + b"\r\n",
        False,
        [head([], -1), ("body", b"abcde"), ("end", [])],
        False,
    ),
    "line break after an empty body": (EMPTY + b"\r\n", False, [head([], 0), ("end", [])], False),
    "103": (
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + EMPTY,
        False,
        [("informational", 103), head([], 0), ("end", [])],
        True,
    ),
    "several 1xx": (
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\n\r\n" + CHUNKED,
        False,
        [
            *(("informational", 100), ("informational", 102), ("informational", 103)),
            *(head([], -1), ("body", b"abcde"), ("end", [])),
        ],
        True,
    ),
    "1xx with a length": (
        b"HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n" + EMPTY,
        False,
        [("informational", 103), head([], 0), ("end", [])],
        True,
    ),
}


def conversation(
    pieces: list[bytes], *, is_bodiless: bool, stand: Stand | None = None
) -> tuple[list[Event], bool, bool]:
    """What is told, whether the connection is kept, whether it is open."""
    backend = Backend(stand)
    attempt = backend.ask(release_at_end(backend), is_bodiless=is_bodiless)
    backend.send(*pieces)
    kept = backend.stand.idle.acquire("b")
    assert kept is None or kept is backend.connection
    return attempt.events, kept is not None, not backend.wire.is_closed


@pytest.mark.parametrize(("message", "is_bodiless", "events", "is_kept"), rows(RESPONSES))
def test_responses(message: bytes, is_bodiless: bool, events: list[Event], is_kept: bool) -> None:
    """Cut at every place, byte by byte, and read by a codec that has met the head before."""
    expected = (events, is_kept, is_kept)
    stand = Stand()
    for _ in range(3):
        assert conversation([message], is_bodiless=is_bodiless, stand=stand) == expected
    for i in range(1, len(message)):
        assert conversation([message[:i], message[i:]], is_bodiless=is_bodiless) == expected, i
        assert conversation([message[:i], message[i:]], is_bodiless=is_bodiless, stand=stand) == expected, i
    assert conversation([bytes([byte]) for byte in message], is_bodiless=is_bodiless) == expected


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([row[0] for row in RESPONSES.values()]),
    st.lists(st.integers(1, 150), max_size=6),
    st.binary(max_size=2),
    st.integers(0, 150),
    st.booleans(),
)
def test_any_cut_of_any_response(
    message: bytes, places: list[int], odd: bytes, where: int, is_bodiless: bool
) -> None:
    """With something odd in it: the same end in every cut, on a fresh codec and on one that has seen the head."""
    message = message[:where] + odd + message[where:]
    edges = [0, *sorted({place for place in places if place < len(message)}), len(message)]
    pieces = [message[a:b] for a, b in itertools.pairwise(edges)]
    stand = Stand()
    verdicts = [
        conversation([message], is_bodiless=is_bodiless, stand=stand),
        conversation([message], is_bodiless=is_bodiless, stand=stand),
        conversation(pieces, is_bodiless=is_bodiless, stand=stand),
        conversation(pieces, is_bodiless=is_bodiless),
    ]
    ends = [
        (events[-1:], kept, is_open)
        for events, kept, is_open in verdicts
        if not events or events[-1][0] != "body"
    ]
    assert all(end == ends[0] for end in ends)
    assert len({kept for _, kept, _ in verdicts}) == 1


# -- backends that break the protocol


def broken(*pieces: bytes, stand: Stand | None = None) -> tuple[list[Event], Failure]:
    """What is told of a response that can't be; the connection is closed and nowhere kept."""
    backend = Backend(stand)
    attempt = backend.ask(FakeAttempt())
    backend.send(*pieces)
    backend.stand.turn()
    assert attempt.failure is not None
    assert attempt.names.count("failure") == 1 and attempt.names[-1] == "failure"
    assert backend.wire.is_aborted and len(backend.stand.idle) == 0
    assert not any(backend.connection in bucket for bucket in backend.stand.reactor.timers._buckets.values())
    return attempt.events, attempt.failure


MALFORMED = {
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "the preface of HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "TLS": b"\x15\x03\x03\x00\x02\x02\x16",
    "line break first": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR": b"HTTP/1.1 200 OK\rContent-Length: 0\r\r",
    "status": b"HTTP/1.1 700 OK\r\n\r\n",
    "blank before a colon": OK + b"A : b\r\n\r\n",
    "folded": OK + b"A: b\r\n c\r\n\r\n",
    "NUL": OK + b"A: \x00\r\n\r\n",
    "length and coding": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "bad length": OK + b"Content-Length: 5x\r\n\r\nhello",
    "gzip coding": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "chunked in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0"),
    "chunked twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
    "bad 1xx": b"HTTP/1.1 103 E\r\nA : b\r\n\r\n" + EMPTY,
}


@pytest.mark.parametrize("message", [pytest.param(message, id=name) for name, message in MALFORMED.items()])
def test_malformed_heads(message: bytes) -> None:
    """502 before a byte went on, however the bytes come; and never remembered as good."""
    stand = Stand()
    for pieces in (
        (message,),
        (message,),
        tuple(bytes([byte]) for byte in message),
        (message[:15], message[15:]),
    ):
        events, failure = broken(*pieces, stand=stand)
        assert events == [("failure", FailureKind.MALFORMED)]
        assert (failure.side, failure.sent) == (Side.UPSTREAM, Sent.SOME)
        assert failure.is_response_started and failure.reason


BAD_CHUNKS = {
    "size": b"x\r\n",
    "LF": b"1\na\n0\n\n",
    "data too long": b"1\r\nab\r\n",
    "signed": b"+1\r\na\r\n",
    "trailer": b"0\r\nA : 1\r\n\r\n",
    "trailers too long": b"0\r\nA: " + b"x" * 9000,
}


@pytest.mark.parametrize("chunk", [pytest.param(chunk, id=name) for name, chunk in BAD_CHUNKS.items()])
@pytest.mark.parametrize("before", [b"", b"3\r\nabc\r\n"], ids=["first", "second"])
@pytest.mark.parametrize("times", [0, 2], ids=["cold", "warm"])
def test_malformed_chunks(chunk: bytes, before: bytes, times: int) -> None:
    """With the head in one packet or after it, whether the head is known or not."""
    stand = Stand()
    for _ in range(times):
        assert conversation([CHUNKED], is_bodiless=False, stand=stand)[1]
    for pieces in (
        (CHUNKED_HEAD + before + chunk,),
        (CHUNKED_HEAD, before + chunk),
        (CHUNKED_HEAD + before + chunk[:1], chunk[1:]),
    ):
        events, failure = broken(*pieces, stand=stand)
        assert failure.kind is FailureKind.MALFORMED and failure.is_response_started
        assert ("end", []) not in events


def padded(size: int) -> bytes:
    return (OK + b"Content-Length: 0\r\nA: ").ljust(size, b"x")


@pytest.mark.parametrize("piece", [1 << 20, 1460])
def test_limit_of_the_head(piece: int) -> None:
    """In one read or in many, also when the last read ends inside the empty line."""
    longest = padded(RESPONSE_HEAD_BYTES) + b"\r\n\r\n"
    for last in (piece, len(longest) - 1, len(longest) - 3):
        pieces = [longest[i : i + min(piece, last)] for i in range(0, len(longest), min(piece, last))]
        assert conversation(pieces, is_bodiless=False)[1]
    longer = padded(RESPONSE_HEAD_BYTES + 1) + b"\r\n\r\n"
    _, failure = broken(*(longer[i : i + piece] for i in range(0, len(longer), piece)))
    assert failure.kind is FailureKind.MALFORMED


def test_a_head_without_an_end_is_refused_at_the_limit() -> None:
    _, failure = broken(padded(RESPONSE_HEAD_BYTES), b"xxxx")
    assert failure.kind is FailureKind.MALFORMED


def test_limit_of_fields() -> None:
    for count, is_good in ((RESPONSE_FIELDS, True), (RESPONSE_FIELDS + 1, False)):
        message = OK + b"A: b\r\n" * (count - 1) + b"Content-Length: 0\r\n\r\n"
        assert conversation([message], is_bodiless=False)[1] is is_good


def test_limit_of_informational_responses() -> None:
    """Per response, not per connection."""
    early = b"HTTP/1.1 103 E\r\n\r\n"
    backend = Backend()
    for _ in range(3):
        attempt = backend.ask(release_at_end(backend))
        backend.send(early * INFORMATIONAL + EMPTY)
        assert attempt.names == ["informational"] * INFORMATIONAL + ["head", "end"]
        assert backend.stand.idle.acquire("b") is backend.connection
    events, failure = broken(early * (INFORMATIONAL + 1) + EMPTY)
    assert failure.kind is FailureKind.MALFORMED
    assert len(events) == INFORMATIONAL + 1


def test_limit_of_bytes_of_informational_responses() -> None:
    early = b"HTTP/1.1 103 E\r\nA: ".ljust(RESPONSE_HEAD_BYTES // 4, b"x")
    events, failure = broken((early + b"\r\n\r\n") * 5 + EMPTY)
    assert [event[0] for event in events] == ["informational"] * 4 + ["failure"]
    assert failure.kind is FailureKind.MALFORMED


# -- backends that break off

CUTS: dict[str, tuple[bytes, FailureKind, bool]] = {
    "before anything": (b"", FailureKind.RESET, False),
    "in the status line": (b"HTTP/1.", FailureKind.RESET, True),
    "in the head": (SIZED[:-7], FailureKind.RESET, True),
    "after a 1xx": (b"HTTP/1.1 103 E\r\n\r\n", FailureKind.RESET, False),
    "before the body": (SIZED[:-5], FailureKind.TRUNCATED, True),
    "one byte short": (SIZED[:-1], FailureKind.TRUNCATED, True),
    "in a chunk size": (CHUNKED_HEAD + b"3", FailureKind.TRUNCATED, True),
    "in a chunk": (CHUNKED_HEAD + b"3\r\nab", FailureKind.TRUNCATED, True),
    "after a chunk": (CHUNKED_HEAD + b"3\r\nabc\r\n", FailureKind.TRUNCATED, True),
    "before the last chunk's end": (CHUNKED[:-1], FailureKind.TRUNCATED, True),
    "in the trailers": (CHUNKED[:-2] + b"Sum: 1\r\n", FailureKind.TRUNCATED, True),
}


@pytest.mark.parametrize("end", ["eof", "reset"])
@pytest.mark.parametrize(("message", "kind", "is_started"), rows(CUTS))
def test_truncation_is_never_success(message: bytes, kind: FailureKind, is_started: bool, end: str) -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    if message:
        backend.send(message)
    if end == "eof":
        backend.wire.feed_eof()
    else:
        backend.wire.lose(ConnectionResetError("reset by peer"))
    backend.stand.turn()
    failure = attempt.failure
    assert failure is not None and attempt.names.count("failure") == 1
    assert (failure.kind, failure.is_response_started, failure.is_reused) == (kind, is_started, False)
    assert not any(event[0] == "end" for event in attempt.events)
    assert len(backend.stand.idle) == 0
    assert not any(backend.connection in bucket for bucket in backend.stand.reactor.timers._buckets.values())


OPEN = OK + b"A: 1\r\n\r\nhel"


def test_a_body_that_the_end_of_the_connection_ends() -> None:
    backend = Backend()
    attempt = backend.ask(release_at_end(backend))
    backend.send(OPEN, b"lo")
    assert attempt.events == [head(WITH_A, -1), ("body", b"hello")]
    backend.wire.feed_eof()
    backend.stand.turn()
    assert attempt.events == [head(WITH_A, -1), ("body", b"hello"), ("end", [])]
    assert backend.wire.is_closed and len(backend.stand.idle) == 0


def test_a_body_without_an_end_that_is_reset_is_cut() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.send(OPEN)
    backend.wire.lose(ConnectionResetError())
    assert attempt.failure is not None and attempt.failure.kind is FailureKind.TRUNCATED


def test_persistence_means_nothing_where_only_the_end_ends() -> None:
    backend = Backend()
    attempt = backend.ask(release_at_end(backend))
    backend.send(OPEN.replace(b"A: 1", b"Connection: keep-alive"))
    backend.wire.feed_eof()
    assert attempt.names[-1] == "end" and len(backend.stand.idle) == 0


# -- upgrades


def test_an_upgrade_hands_over_what_came_with_it() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.send(
        b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x81\x00raw"
    )
    assert attempt.events == [("informational", 103), ("upgrade", 101, b"\x81\x00raw")]
    backend.stand.advance(100_000.0)
    assert not backend.wire.is_closed


def test_after_an_upgrade_nobody_holds_the_connection() -> None:
    """The tunnel has the transport: what is left would stay in the wheel, exchange and all, until its bucket is due."""
    backend = Backend()
    backend.ask(FakeAttempt())
    backend.connection.wait(60.0, backend.stand.loop.now)
    assert backend.stand.reactor.timers._buckets
    backend.send(b"HTTP/1.1 101 S\r\n\r\n")
    assert (backend.connection.exchange, backend.stand.reactor.timers._buckets) == (None, {})


def test_after_an_upgrade_nothing_is_read_as_http() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.send(b"HTTP/1.1 101 S\r\n\r\n")
    backend.send(SIZED)
    assert attempt.names == ["upgrade"]
    assert len(backend.stand.idle) == 0


def test_an_upgrade_that_was_not_asked_for_can_be_closed() -> None:
    backend = Backend()
    attempt = FakeAttempt(lambda told: backend.connection.close())
    backend.ask(attempt)
    backend.send(b"HTTP/1.1 101 S\r\n\r\n" + SIZED)
    assert attempt.names == ["upgrade"] and backend.wire.is_aborted


# -- waits


def test_the_head_has_its_time() -> None:
    """Neither bytes of the head nor 1xx buy more."""
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.connection.wait(10.0, backend.stand.loop.now)
    backend.stand.advance(5.0)
    backend.send(b"HTTP/1.1 103 E\r\n\r\nHTTP")
    backend.stand.advance(4.99)
    assert attempt.failure is None
    backend.stand.advance(0.01 + LATE)
    assert attempt.failure is not None
    assert attempt.failure.kind is FailureKind.RESPONSE_TIMEOUT
    assert "10 s" in attempt.failure.reason and backend.wire.is_aborted


BODIES = {"sized": SIZED[:-5], "chunked": CHUNKED_HEAD, "open": OPEN}


@pytest.mark.parametrize("begun", [pytest.param(begun, id=name) for name, begun in BODIES.items()])
def test_the_body_must_go_on(begun: bytes) -> None:
    backend = Backend()
    attempt = FakeAttempt()
    backend.connection.begin(attempt, 10.0, is_bodiless=False)
    backend.connection.send(b"x")
    backend.connection.wait(300.0, backend.stand.loop.now)
    backend.send(begun)
    for byte in b"3\r":
        backend.stand.advance(9.9)
        assert attempt.failure is None
        backend.send(bytes([byte]))
    backend.stand.advance(9.9)
    assert attempt.failure is None
    backend.stand.advance(0.1 + LATE)
    assert attempt.failure is not None
    assert attempt.failure.kind is FailureKind.IDLE_TIMEOUT and attempt.failure.is_response_started


def test_a_response_that_we_do_not_read_is_not_late() -> None:
    """The client reads slowly: the backend is not to blame. Afterwards it has its time again."""
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.send(SIZED[:-3])
    backend.connection.block(PEER_FULL)
    backend.stand.advance(10_000.0)
    assert attempt.failure is None
    backend.connection.unblock(PEER_FULL)
    backend.stand.advance(299.9)
    assert attempt.failure is None
    backend.stand.advance(0.1 + LATE)
    assert attempt.failure is not None and attempt.failure.kind is FailureKind.IDLE_TIMEOUT


def test_a_head_that_we_did_not_read_for_a_while_has_its_time_afterwards() -> None:
    """A client that was slow with the answer before makes no wait without an end."""
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.connection.block(PEER_FULL)
    backend.stand.advance(10.0)
    backend.connection.unblock(PEER_FULL)
    backend.stand.advance(300.0 + LATE)
    assert attempt.failure is not None and attempt.failure.kind is FailureKind.RESPONSE_TIMEOUT


def test_a_response_that_is_complete_has_no_deadline() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.send(SIZED)
    backend.stand.advance(100_000.0)
    assert attempt.names == ["head", "body", "end"]


# -- backpressure and long bodies


def test_the_exchange_is_told_of_a_backend_that_reads_slowly() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.wire.stall()
    backend.connection.send_body(b"x" * 70_000)
    backend.wire.read_on()
    assert attempt.names == ["full", "ready"]


class Sink(Told):
    """The protocol at the other end of a pump."""

    def connection_made(self, transport: object) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


LONG = PUMP_FROM + 100_000


def long_download() -> tuple[Backend, Wire, FakeAttempt]:
    backend = Backend()
    target = Wire(backend.stand.loop, Sink())
    attempt = backend.ask(release_at_end(backend))
    backend.send(OK + b"Content-Length: %d\r\n\r\n" % LONG)
    assert backend.connection.pump_to(target)
    assert not backend.connection.pump_to(target), "once is enough"
    return backend, target, attempt


def test_a_long_body_is_pumped() -> None:
    backend, target, attempt = long_download()
    data = bytes(range(256)) * (LONG // 256 + 1)
    backend.send(data[: LONG - 5], data[LONG - 5 : LONG])
    assert target.take() == data[:LONG]
    assert attempt.names == ["head", "end"]
    assert backend.stand.idle.acquire("b") is backend.connection
    attempt = backend.ask(FakeAttempt())
    backend.send(SIZED)
    assert attempt.names == ["head", "body", "end"]


def test_bytes_after_a_pumped_body_make_the_connection_unusable() -> None:
    """They go nowhere, least of all to the client."""
    backend, target, attempt = long_download()
    backend.send(b"x" * LONG + SIZED)
    assert len(target.take()) == LONG
    assert attempt.names == ["head", "end"]
    assert backend.stand.idle.acquire("b") is None and backend.wire.is_closed


@pytest.mark.parametrize("end", ["eof", "reset"])
def test_a_pumped_body_that_breaks_off(end: str) -> None:
    backend, target, attempt = long_download()
    backend.send(b"x" * (LONG - 1))
    if end == "eof":
        backend.wire.feed_eof()
    else:
        backend.wire.lose(ConnectionResetError())
    backend.stand.turn()
    assert attempt.failure is not None and attempt.failure.kind is FailureKind.TRUNCATED
    assert len(target.take()) == LONG - 1


def test_a_pump_must_go_on() -> None:
    backend, _, attempt = long_download()
    for _ in range(5):
        backend.stand.advance(299.0)
        backend.send(b"x" * 1000)
    assert attempt.failure is None
    backend.stand.advance(300.0 + LATE)
    assert attempt.failure is not None and attempt.failure.kind is FailureKind.IDLE_TIMEOUT


def test_a_pump_that_waits_for_a_slow_client_is_not_late() -> None:
    backend, _, attempt = long_download()
    backend.connection.block(PEER_FULL)
    backend.stand.advance(10_000.0)
    assert attempt.failure is None
    backend.connection.unblock(PEER_FULL)
    backend.stand.advance(300.0 + LATE)
    assert attempt.failure is not None


def test_closing_ends_the_pump() -> None:
    backend, target, attempt = long_download()
    backend.connection.close()
    backend.stand.turn()
    assert attempt.names == ["head"] and backend.wire.is_aborted
    assert target.high_water == 64 * 1024


@pytest.mark.parametrize(
    "message",
    [OK + b"Content-Length: %d\r\n\r\n" % (PUMP_FROM - 1), CHUNKED_HEAD + b"fffff\r\n", OPEN, SIZED],
)
def test_bodies_that_are_not_worth_a_pump(message: bytes) -> None:
    backend = Backend()
    backend.ask(FakeAttempt())
    backend.send(message)
    assert not backend.connection.pump_to(Wire(backend.stand.loop, Sink()))


# -- over TLS


def lose(backend: Backend, attempt: FakeAttempt, fault: TLSFault) -> Failure:
    backend.wire.lose(fault)
    assert attempt.failure is not None and attempt.failure.reason == "why"
    return attempt.failure


CUT = TLSFault("why", is_cut=True)
REFUSED = TLSFault("why", is_refusal=True)
BROKEN = TLSFault("why")


@pytest.mark.parametrize(
    ("fault", "kind", "sent"),
    [
        (CUT, FailureKind.RESET, Sent.SOME),
        (BROKEN, FailureKind.TLS, Sent.SOME),
        (REFUSED, FailureKind.TLS, Sent.NOTHING),
    ],
)
def test_tls_breaks_before_an_answer(fault: TLSFault, kind: FailureKind, sent: Sent) -> None:
    """A refusal is the end of the peer's handshake: what we sent after ours was never read."""
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    failure = lose(backend, attempt, fault)
    assert (failure.kind, failure.sent, failure.side) == (kind, sent, Side.UPSTREAM)


def test_what_looks_like_a_refusal_but_comes_late() -> None:
    """After an exchange, or a byte of an answer, the handshake was over."""
    backend = Backend()
    backend.ask(FakeAttempt())
    backend.send(EMPTY)
    backend.connection.release(8)
    failure = lose(backend, backend.ask(FakeAttempt()), REFUSED)
    assert (failure.kind, failure.sent, failure.is_reused) == (FailureKind.TLS, Sent.SOME, True)
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.send(b"HTTP/1.1 2")
    assert lose(backend, attempt, REFUSED).sent is Sent.SOME


def test_a_kept_connection_that_ends_without_close_notify_is_stale() -> None:
    backend = Backend()
    backend.ask(FakeAttempt())
    backend.send(EMPTY)
    backend.connection.release(8)
    assert is_stale(lose(backend, backend.ask(FakeAttempt()), CUT))


@pytest.mark.parametrize("fault", [CUT, BROKEN])
@pytest.mark.parametrize(
    "begun", [OK + b"\r\nopen", SIZED[:-1], CHUNKED[:-2]], ids=["open", "sized", "chunked"]
)
def test_a_body_that_tls_breaks_off_is_truncated(begun: bytes, fault: TLSFault) -> None:
    """RFC 9112 9.8: also one that would end with the connection."""
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.send(begun)
    assert lose(backend, attempt, fault).kind is FailureKind.TRUNCATED


def test_an_end_of_tls_after_a_complete_answer_is_none() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.send(SIZED)
    backend.wire.lose(CUT)
    assert attempt.names == ["head", "body", "end"]


# -- a read full of chunks

TINY = b"1\r\na\r\n"


@pytest.mark.parametrize("is_at_once", [True, False], ids=["with the head", "after it"])
def test_so_many_chunks_are_read_in_a_turn(is_at_once: bool) -> None:
    backend = Backend()
    attempt = backend.ask(release_at_end(backend))
    body = TINY * (2 * CHUNKS_AT_ONCE + 1) + b"0\r\n\r\n"
    for piece in [CHUNKED_HEAD + body] if is_at_once else [CHUNKED_HEAD, body]:
        backend.wire.feed(piece)
    assert attempt.events[1:] == [("body", b"a" * CHUNKS_AT_ONCE)]
    assert backend.wire.is_paused
    backend.stand.turn()
    assert attempt.events[1:] == [("body", b"a" * (2 * CHUNKS_AT_ONCE + 1)), ("end", [])]
    assert not backend.wire.is_paused and len(backend.stand.idle) == 1


def test_chunks_that_wait_are_read_before_the_next_ones() -> None:
    backend = Backend()
    attempt = backend.ask(release_at_end(backend))
    backend.wire.feed(CHUNKED_HEAD + TINY * (CHUNKS_AT_ONCE + 1))
    backend.stand.turn()
    assert not backend.wire.is_paused
    backend.send(b"1\r\nb\r\n0\r\n\r\n")
    assert attempt.events[1:] == [("body", b"a" * (CHUNKS_AT_ONCE + 1) + b"b"), ("end", [])]


def test_a_backend_that_is_gone_while_its_chunks_wait_has_answered() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.wire.feed(CHUNKED_HEAD + TINY * (3 * CHUNKS_AT_ONCE) + b"0\r\n\r\n")
    backend.wire.lose(ConnectionResetError())
    backend.stand.turn()
    assert attempt.events[1:] == [("body", b"a" * (3 * CHUNKS_AT_ONCE)), ("end", [])]


def test_an_exchange_that_ends_while_chunks_wait_gets_none() -> None:
    backend = Backend()
    attempt = backend.ask(FakeAttempt())
    backend.wire.feed(CHUNKED_HEAD + TINY * (CHUNKS_AT_ONCE + 1))
    backend.connection.close()
    backend.stand.turn()
    assert attempt.events[1:] == [("body", b"a" * CHUNKS_AT_ONCE)]
