"""Writing to a client: framing, early answers, what becomes of the connection afterwards."""

from __future__ import annotations

import socket
import struct

import pytest

from posthouse.errors import FailureKind
from posthouse.net.downstream_answer import (
    DRAIN_BYTES,
    LINGER_BYTES,
    LINGER_SECONDS,
    NO_BODY,
    SIZED,
    STREAMED,
)
from posthouse.net.flow import NO_PEER, PEER_FULL, PIPELINED
from posthouse.protocol.fields import Field
from unit.net.fakes import OK, OK_CLOSE, Client, FakeExchange, FakePlan, answer_at_end, wait
from unit.net.messages import CHUNKED_HEAD, CHUNKS, GET, LATE, POST, names, refusal
from unit.net.wire import Wire
from unit.protocol.rows import rows

GET_10 = GET.replace(b"1.1", b"1.0")
GET_10_KEPT = GET_10.replace(b"Host", b"Connection: keep-alive\r\nHost")
GET_CLOSE = GET.replace(b"Host", b"Connection: close\r\nHost")
RESET = [(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))]


def asked(request: bytes = GET) -> tuple[Client, FakePlan]:
    """A client that waits for its answer."""
    client = Client(plan := FakePlan(wait))
    client.send(request)
    return client, plan


# -- framing

L = b"Content-Length: 3\r\n"
A = b"A: 1\r\n"
C = b"Connection: close\r\n"
K = b"Connection: keep-alive\r\n"
T = b"Transfer-Encoding: chunked\r\n"

FRAMING: dict[str, tuple[bytes, bytes, int, bytes, bytes, bool]] = {
    "sized": (GET, L, SIZED, L, b"abc", True),
    "sized, close": (GET_CLOSE, L, SIZED, L + C, b"abc", False),
    "sized, HTTP/1.0": (GET_10, L, SIZED, L + C, b"abc", False),
    "sized, HTTP/1.0 kept": (GET_10_KEPT, L, SIZED, L + K, b"abc", True),
    "streamed": (GET, A, STREAMED, A + T, b"3\r\nabc\r\n0\r\n\r\n", True),
    "streamed, close": (GET_CLOSE, A, STREAMED, A + T + C, b"3\r\nabc\r\n0\r\n\r\n", False),
    "streamed, HTTP/1.0": (GET_10, A, STREAMED, A + C, b"abc", False),
    "streamed, HTTP/1.0 that asked to be kept": (GET_10_KEPT, A, STREAMED, A + C, b"abc", False),
}


@pytest.mark.parametrize(("request_", "lines", "mode", "head", "body", "is_kept"), rows(FRAMING))
@pytest.mark.parametrize("form", ["at once", "end apart", "body apart", "in pieces"])
def test_framing(
    request_: bytes, lines: bytes, mode: int, head: bytes, body: bytes, is_kept: bool, form: str
) -> None:
    """However the exchange hands it over; chunks are cut as the pieces were."""
    client, plan = asked(request_)
    stream = plan.last.stream
    match form:
        case "at once":
            stream.send_head(b"200 OK", lines, mode, b"abc", True)
        case "end apart":
            stream.send_head(b"200 OK", lines, mode, b"abc", False)
            stream.send_end([])
        case "body apart":
            stream.send_head(b"200 OK", lines, mode, b"", False)
            stream.send_body(b"abc")
            stream.send_end([])
        case _:
            stream.send_head(b"200 OK", lines, mode, b"a", False)
            stream.send_body(b"bc")
            stream.send_end([])
            body = body.replace(b"3\r\nabc\r\n", b"1\r\na\r\n2\r\nbc\r\n")
    assert client.wire.take() == b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body
    assert client.is_over is not is_kept
    assert stream.exchange is None


@pytest.mark.parametrize("form", ["at once", "end apart"])
@pytest.mark.parametrize(("request_", "last"), [(GET, b""), (GET_CLOSE, C), (GET_10_KEPT, K)])
def test_no_body(request_: bytes, last: bytes, form: str) -> None:
    """The lines may hold a Content-Length (HEAD, 304): nothing follows them."""
    client, plan = asked(request_)
    plan.last.stream.send_head(b"304 Not Modified", L, NO_BODY, b"", form == "at once")
    if form == "end apart":
        plan.last.stream.send_end([])
    assert client.wire.take() == b"HTTP/1.1 304 Not Modified\r\n" + L + last + b"\r\n"


def test_an_empty_stream() -> None:
    client, plan = asked()
    plan.last.stream.send_head(b"200 OK", b"", STREAMED, b"", True)
    assert client.wire.take() == b"HTTP/1.1 200 OK\r\n" + T + b"\r\n0\r\n\r\n"


def test_trailers_go_where_chunks_go() -> None:
    trailers = [Field(b"Sum", b"1")]
    client, plan = asked(GET + GET_10)
    plan.last.stream.send_head(b"200 OK", b"", STREAMED, b"a", False)
    plan.last.stream.send_end(trailers)
    assert client.wire.take().endswith(b"1\r\na\r\n0\r\nSum: 1\r\n\r\n")
    client.stand.turn()
    plan.last.stream.send_head(b"200 OK", b"", STREAMED, b"a", False)
    plan.last.stream.send_end(trailers)
    assert client.wire.take().endswith(b"\r\n\r\na")


def test_a_sized_answer_after_a_streamed_one_is_not_chunked() -> None:
    client, plan = asked()
    plan.last.stream.send_head(b"200 OK", b"", STREAMED, b"a", True)
    client.send(GET)
    plan.last.stream.send_head(b"200 OK", L, SIZED, b"", False)
    plan.last.stream.send_body(b"abc")
    plan.last.stream.send_end([Field(b"Sum", b"1")])
    assert client.wire.take().endswith(L + b"\r\nabc")


def test_informational_heads_go_to_http_1_1_only() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    for request, got in ((GET, hints), (GET_10, b"")):
        client, plan = asked(request)
        plan.last.stream.send_informational(hints)
        assert client.wire.take() == got


def test_close_after_answer() -> None:
    client, plan = asked()
    plan.last.stream.close_after_answer()
    plan.last.answer()
    assert client.wire.take() == OK_CLOSE and client.is_over


# -- answers that come before the request is complete


def early(request: bytes) -> tuple[Client, FakePlan]:
    """The answer is given at the head of the request, that of later requests at their end."""
    client, plan = asked(request)
    plan.last.answer()
    plan.react = answer_at_end
    return client, plan


def sized(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size


@pytest.mark.parametrize("size", [1, DRAIN_BYTES - 1, DRAIN_BYTES])
@pytest.mark.parametrize("piece", [1 << 20, 30_000])
def test_a_body_up_to_the_mark_is_drained(size: int, piece: int) -> None:
    client, plan = early(sized(size))
    assert client.wire.take() == OK and not client.is_over
    rest = b"x" * size + GET
    assert client.send(*(rest[i : i + piece] for i in range(0, len(rest), piece))) == OK
    assert names(plan) == [["head"], ["head", "end"]]
    assert client.connection.is_idle


def test_a_body_past_the_mark_ends_the_connection() -> None:
    client, plan = early(sized(DRAIN_BYTES + 1))
    assert client.wire.take() == OK_CLOSE and client.is_over
    assert client.send(b"x" * (DRAIN_BYTES + 1) + GET, GET) == b""
    assert len(plan.exchanges) == 1


def test_only_what_is_still_to_come_counts() -> None:
    client, _ = early(sized(DRAIN_BYTES + 10) + b"x" * 10)
    assert client.wire.take() == OK
    assert client.send(b"x" * DRAIN_BYTES + GET) == OK


def chunk_of(size: int) -> bytes:
    return b"%x\r\n" % size + b"x" * size + b"\r\n"


def test_a_chunked_body_up_to_the_mark_is_drained() -> None:
    client, plan = early(CHUNKED_HEAD)
    assert client.wire.take() == OK and not client.is_over
    body = chunk_of(DRAIN_BYTES - 20) + b"0\r\n\r\n"
    assert len(body) < DRAIN_BYTES
    assert client.send(body[:100], body[100:] + GET) == OK
    assert names(plan) == [["head"], ["head", "end"]]


def test_a_chunked_body_past_the_mark_ends_the_connection() -> None:
    client, plan = early(CHUNKED_HEAD)
    assert client.wire.take() == OK
    client.send(b"10000\r\n", b"x" * (DRAIN_BYTES - 7))
    assert not client.is_over
    client.send(b"x")
    assert client.is_over
    assert client.send(b"x" * 6 + b"\r\n0\r\n\r\n" + GET) == b""
    assert len(plan.exchanges) == 1


def test_a_bad_chunk_while_draining_ends_the_connection() -> None:
    client, plan = early(CHUNKED_HEAD + b"3\r\nabc\r\n")
    client.wire.take()
    assert client.send(b"XX\r\n" + GET, GET) == b""
    assert client.is_over and len(plan.exchanges) == 1


def test_trailers_while_draining_are_dropped() -> None:
    client, plan = early(CHUNKED_HEAD)
    client.wire.take()
    assert client.send(CHUNKS + GET) == OK
    assert names(plan) == [["head"], ["head", "end"]]


@pytest.mark.parametrize("reason", [PEER_FULL, NO_PEER])
def test_draining_reads_whatever_paused_before(reason: int) -> None:
    client, plan = asked(sized(10))
    client.connection.block(reason)
    plan.last.answer()
    assert not client.wire.is_paused
    plan.react = answer_at_end
    assert client.send(b"x" * 10 + GET).endswith(OK)


@pytest.mark.parametrize("reason", [PEER_FULL, NO_PEER, PIPELINED])
def test_the_next_request_is_read_whatever_paused_the_last(reason: int) -> None:
    """A backend that was full when its answer came never says that it has room again."""
    client, plan = asked(POST)
    client.connection.block(reason)
    plan.last.answer()
    assert not client.wire.is_paused
    client.wire.take()
    plan.react = answer_at_end
    assert client.send(GET) == OK


@pytest.mark.parametrize("head", [sized(10), CHUNKED_HEAD], ids=["sized", "chunked"])
def test_draining_ends_in_time(head: bytes) -> None:
    client, _ = early(head)
    client.wire.take()
    client.stand.advance(29.9)
    assert not client.is_over
    assert client.advance(0.1 + LATE) == b""
    assert client.is_over
    client.stand.advance(LINGER_SECONDS + LATE)
    assert client.listener.connections == set()


def test_an_early_answer_that_is_still_written_when_the_body_ends() -> None:
    client, plan = asked(sized(5))
    plan.last.stream.send_head(b"200 OK", L, SIZED, b"", False)
    client.send(b"hello" + GET)
    assert names(plan) == [["head", "body", "end"]]
    plan.last.stream.send_body(b"abc")
    plan.last.stream.send_end([])
    client.stand.turn()
    assert names(plan) == [["head", "body", "end"], ["head", "end"]]


# -- the end of a connection


def test_after_the_last_answer_the_connection_is_closed_at_once() -> None:
    """Nothing of the client is unread, so nothing can overtake the answer."""
    client, plan = asked(GET_CLOSE)
    plan.last.answer()
    assert client.wire.is_closed and not client.wire.is_aborted
    client.stand.turn()
    assert client.listener.connections == set()


def test_with_input_unread_the_end_is_said_first() -> None:
    """Our side ends, input is dropped for a while: a reset would eat the answer on its way (RFC 9112 9.6)."""
    client, plan = asked(GET_CLOSE + GET)
    plan.last.answer()
    assert client.wire.is_finished and not client.wire.is_closed
    assert client.send(GET, POST) == OK_CLOSE
    client.stand.advance(LINGER_SECONDS - 0.1)
    assert not client.wire.is_closed
    client.stand.advance(0.1 + LATE)
    assert client.wire.is_aborted
    assert client.listener.connections == set()


def test_a_client_that_understood_ends_the_lingering() -> None:
    client, plan = asked(GET_CLOSE + GET)
    plan.last.answer()
    client.wire.feed_eof()
    client.stand.turn()
    assert client.wire.is_closed and not client.wire.is_aborted
    assert client.listener.connections == set()


def test_lingering_is_bounded() -> None:
    client, _ = early(sized(1 << 40))
    piece = b"x" * (LINGER_BYTES // 8)
    client.send(*[piece] * 8)
    assert not client.wire.is_closed
    client.send(b"x")
    assert client.wire.is_aborted


def test_lingering_reads_whatever_paused_before() -> None:
    client, plan = asked(sized(1 << 40))
    client.connection.block(PEER_FULL)
    plan.last.answer()
    assert not client.wire.is_paused


def test_a_refusal_is_the_last_answer() -> None:
    client = Client(plan := FakePlan())
    assert client.send(b"GET / HTTP/1.1\r\n\r\n" + GET) == refusal(400)
    assert client.wire.is_finished and not client.wire.is_closed
    assert [error.reason for error in plan.refused] == ["missing Host"]
    client.stand.advance(LINGER_SECONDS + LATE)
    assert client.listener.connections == set()


def test_close_if_idle() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET)
    client.connection.close_if_idle()
    assert not client.is_over and not client.connection.is_idle
    plan.last.answer()
    client.send(GET[:5])
    client.connection.close_if_idle()
    assert not client.is_over and not client.connection.is_idle
    client.send(GET[5:])
    plan.last.answer()
    assert client.connection.is_idle
    client.connection.close_if_idle()
    assert client.wire.is_closed
    client.stand.turn()
    assert client.listener.connections == set()


# -- answers that can't be completed


def begun(request: bytes, lines: bytes, mode: int) -> Client:
    client, plan = asked(request)
    plan.last.stream.send_head(b"200 OK", lines, mode, b"ab", False)
    plan.last.stream.reset()
    return client


@pytest.mark.parametrize(("lines", "mode"), [(L, SIZED), (b"", STREAMED)], ids=["sized", "streamed"])
@pytest.mark.parametrize("request_", [GET, GET_CLOSE], ids=["kept", "close"])
def test_a_cut_answer_looks_cut(request_: bytes, lines: bytes, mode: int) -> None:
    """Never the last chunk; the end comes before the length is reached (reliability.md rule 6)."""
    client = begun(request_, lines, mode)
    assert client.wire.take().endswith(b"ab" if mode == SIZED else b"2\r\nab\r\n")
    assert client.wire.is_closed
    client.stand.turn()
    assert client.listener.connections == set()


@pytest.mark.parametrize("request_", [GET_10, GET_10_KEPT], ids=["close", "kept"])
def test_a_cut_answer_without_a_length_is_reset(request_: bytes) -> None:
    """Only a reset tells it from a complete one."""
    client = begun(request_, b"", STREAMED)
    assert client.wire.is_aborted
    assert client.wire.sock.options == RESET


def test_a_cut_answer_that_nobody_reads_does_not_stay() -> None:
    client, plan = asked()
    client.wire.stall()
    plan.last.stream.send_head(b"200 OK", b"", STREAMED, b"x" * 100_000, False)
    plan.last.stream.reset()
    client.stand.advance(LINGER_SECONDS + LATE)
    assert client.wire.is_aborted


def test_a_broken_request_that_was_answered_in_part_is_cut() -> None:
    def cut(exchange: FakeExchange) -> None:
        if exchange.names[-1] == "broken":
            exchange.stream.reset()

    client = Client(plan := FakePlan(cut))
    client.send(CHUNKED_HEAD)
    plan.last.stream.send_head(b"200 OK", b"", STREAMED, b"ab", False)
    assert client.send(b"XX\r\n" + GET, GET).endswith(b"2\r\nab\r\n")
    assert client.is_over and len(plan.exchanges) == 1


def test_reset_connection_is_a_reset() -> None:
    client, _ = asked()
    client.connection.reset_connection()
    assert client.wire.sock.options == RESET and client.wire.is_aborted


# -- tunnels


def test_leaving_http() -> None:
    """What came early is handed over; the connection has no deadline of ours, and reads."""
    client, plan = asked(GET + b"early bytes")
    stream = plan.last.stream
    stream.block(PEER_FULL)
    assert stream.leave_http() == b"early bytes"
    assert not client.wire.is_paused
    client.stand.advance(100_000.0)
    assert not client.is_over
    assert names(plan) == [["head", "end"]]
    client.wire.close()
    stream.tunnel_ended()
    assert client.listener.connections == set()
    assert not any(stream in bucket for bucket in client.stand.reactor.timers._buckets.values())


def test_a_tunnel_is_no_exchange_any_more() -> None:
    client, plan = asked(GET)
    plan.last.stream.leave_http()
    client.wire.lose(ConnectionResetError())
    assert names(plan) == [["head", "end"]]


# -- who is told


def test_nothing_is_told_to_an_exchange_that_is_over() -> None:
    client, plan = asked()
    client.wire.stall()
    plan.last.answer(b"x" * 100_000)
    client.wire.read_on()
    client.wire.feed_eof()
    client.stand.turn()
    assert ("ready",) not in plan.last.events
    assert ("lost", FailureKind.CLIENT_GONE) not in plan.last.events


def test_repr_says_who_and_what() -> None:
    client, _ = asked()
    assert "192.0.2.7:4711" in repr(client.connection) and "FakeExchange" in repr(client.connection)


def test_a_second_connection_is_another_one() -> None:
    client = Client(plan := FakePlan(wait))
    second = client.listener.speak()
    wire = Wire(client.stand.loop, second)
    client.send(GET)
    wire.feed(POST)
    assert len(client.listener.connections) == 2
    plan.exchanges[0].answer(b"1")
    plan.exchanges[1].answer(b"2")
    assert client.wire.take().endswith(b"1") and wire.take().endswith(b"2")
