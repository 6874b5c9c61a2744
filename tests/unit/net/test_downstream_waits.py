"""The waits for a client, and what becomes of one that is slow, silent or gone."""

from __future__ import annotations

import pytest

from posthouse.errors import FailureKind
from posthouse.net.downstream_answer import DRAIN_GRACE, LINGER_SECONDS, SIZED
from posthouse.net.downstream_body import LOOK_OUT_SECONDS
from posthouse.net.flow import NO_PEER, PEER_FULL
from posthouse.net.handler import DownstreamTimeouts
from posthouse.net.timers import NEVER
from unit.net.fakes import OK, OK_CLOSE, Client, FakeExchange, FakePlan, answer_at_end, wait
from unit.net.messages import CHUNKED, CHUNKED_HEAD, CHUNKS, GET, LATE, NO_TRAILERS, POST, names, refusal

# -- waits


def timed(**seconds: float) -> FakePlan:
    plan = FakePlan(wait, timeouts=DownstreamTimeouts(**seconds))
    plan.has_totals = plan.timeouts.read != NEVER or plan.timeouts.write != NEVER
    return plan


def test_a_client_that_says_nothing_is_closed_silently() -> None:
    client = Client(FakePlan())
    assert client.advance(9.99) == b"" and not client.is_over
    assert client.advance(0.01 + LATE) == b"" and client.is_over


def test_the_head_has_a_time_in_total() -> None:
    """A byte a second does not buy more: 408 after `timeouts header`, not earlier."""
    client = Client(plan := FakePlan())
    for byte in b"GET / HTT"[:9]:
        assert client.send(bytes([byte])) == b""
        client.stand.advance(1.0)
    assert client.advance(0.99) == b""
    assert client.advance(0.01 + LATE) == refusal(408)
    assert client.is_over and plan.exchanges == []


@pytest.mark.parametrize("beginning", [b"\r", b"\r\n", b"G", GET[:-1]])
def test_the_head_of_a_later_request_has_its_time_from_its_first_byte(beginning: bytes) -> None:
    client = Client(FakePlan())
    client.send(GET)
    client.stand.advance(200.0)
    client.send(beginning)
    client.stand.advance(9.9)
    assert not client.is_over
    client.stand.advance(0.1 + LATE)
    assert client.is_over


def test_a_head_that_waited_behind_a_request_has_its_time_from_then() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET + b"GET /")
    client.stand.advance(100.0)
    plan.last.answer()
    client.stand.advance(9.9)
    assert not client.is_over
    client.wire.take()
    assert client.advance(0.1 + LATE) == refusal(408)


def test_idle_connections_end() -> None:
    client = Client(FakePlan(timeouts=DownstreamTimeouts(idle=60.0)))
    client.send(GET)
    assert client.advance(59.99) == b"" and not client.is_over
    assert client.advance(0.01 + LATE) == b"" and client.is_over


def test_an_idle_time_shorter_than_that_of_the_head() -> None:
    client = Client(FakePlan(timeouts=DownstreamTimeouts(idle=2.0)))
    client.send(GET, GET[:5])
    client.stand.advance(2.0 + LATE)
    assert client.is_over


@pytest.mark.parametrize(
    ("begun", "more"), [(POST[:-5], b"hel"), (CHUNKED_HEAD, CHUNKS[:3])], ids=["sized", "chunked"]
)
def test_a_body_must_go_on(begun: bytes, more: bytes) -> None:
    """Each byte buys `timeouts body`; then 408."""
    client = Client(plan := FakePlan())
    client.send(begun)
    for byte in more:
        client.stand.advance(29.9)
        assert plan.last.names[-1] in ("head", "body")
        client.send(bytes([byte]))
    client.stand.advance(30.0 + LATE)
    assert plan.last.events[-1] == ("broken", 408, FailureKind.CLIENT_TIMEOUT)
    assert client.is_over


def test_a_request_that_is_complete_has_no_deadline() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(POST)
    client.stand.advance(100_000.0)
    assert names(plan) == [["head", "body", "end"]] and not client.is_over


def test_a_body_that_we_do_not_read_is_not_late() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(POST[:-3])
    client.connection.block(NO_PEER)
    client.stand.advance(1000.0)
    client.connection.block(PEER_FULL)
    client.connection.unblock(NO_PEER)
    client.stand.advance(1000.0)
    assert plan.last.names == ["head", "body"]
    client.connection.unblock(PEER_FULL)
    client.stand.advance(29.9)
    assert plan.last.names == ["head", "body"]
    client.stand.advance(0.1 + LATE)
    assert plan.last.events[-1] == ("broken", 408, FailureKind.CLIENT_TIMEOUT)


def test_waits_that_are_off() -> None:
    client = Client(plan := timed(header=NEVER, body=NEVER, idle=NEVER))
    client.stand.advance(100_000.0)
    client.send(GET)
    plan.last.answer()
    client.stand.advance(100_000.0)
    client.send(POST[:-1])
    client.stand.advance(100_000.0)
    client.send(POST[-1:])
    assert names(plan)[1] == ["head", "body", "end"]
    assert not client.is_over


def test_timeouts_read_is_for_the_whole_request() -> None:
    """v1's meaning: also a body that goes on and on is over then."""
    client = Client(plan := timed(read=60.0))
    client.send(POST.replace(b"5", b"100", 1))
    for _ in range(5):
        client.stand.advance(11.0)
        client.send(b"x")
    assert plan.last.names == ["head", "body"]
    client.stand.advance(5.0 + LATE)
    assert plan.last.events[-1] == ("broken", 408, FailureKind.CLIENT_TIMEOUT)


@pytest.mark.parametrize("request_", [POST, CHUNKED, NO_TRAILERS], ids=["sized", "chunked", "no trailers"])
@pytest.mark.parametrize("left", [0, 1], ids=["whole", "in two"])
def test_timeouts_read_ends_with_the_request(request_: bytes, left: int) -> None:
    """What the backend takes afterwards is not the client's time."""
    client = Client(plan := timed(read=60.0, body=NEVER))
    client.send(request_[: len(request_) - left])
    client.stand.advance(59.0)
    if left:
        client.send(request_[-left:])
    client.stand.advance(1000.0)
    assert plan.last.names == ["head", "body", "end"] and not client.is_over


@pytest.mark.parametrize(
    "request_", [GET, POST, CHUNKED, NO_TRAILERS], ids=["get", "sized", "chunked", "no trailers"]
)
def test_timeouts_write_is_for_the_whole_answer(request_: bytes) -> None:
    client = Client(plan := timed(write=60.0))
    client.send(request_)
    client.stand.advance(59.9)
    assert plan.last.names[-1] == "end"
    client.stand.advance(0.1 + LATE)
    assert plan.last.events[-1] == ("lost", FailureKind.CLIENT_TIMEOUT)
    assert client.is_over


def test_timeouts_write_ends_with_the_answer() -> None:
    client = Client(plan := timed(write=60.0))
    client.send(GET)
    plan.last.answer()
    client.stand.advance(100.0)
    assert not client.is_over
    client.send(GET)
    assert len(plan.exchanges) == 2


@pytest.mark.parametrize("way", ["tunnel", "cut"])
def test_totals_end_with_http(way: str) -> None:
    client = Client(plan := timed(write=60.0))
    client.send(GET)
    if way == "tunnel":
        client.connection.leave_http()
        client.stand.advance(100.0)
        assert not client.is_over
    else:
        client.connection.send_head(b"200 OK", b"Content-Length: 2\r\n", SIZED, b"o", False)
        client.connection.reset()
        client.stand.advance(100.0)
        assert client.stand.loop.waiting == 0
    assert plan.last.names == ["head", "end"]


def test_a_client_that_leaves_unread_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """While we don't read, the loop tells us nothing: the kernel is asked a few times a second."""
    hung_up: list[int] = []
    monkeypatch.setattr("posthouse.net.downstream_body.has_hung_up", lambda descriptor: descriptor in hung_up)
    client = Client(plan := FakePlan(wait))
    client.wire.sock.descriptor = 7
    client.send(POST[:-3])
    client.connection.block(PEER_FULL)
    client.stand.advance(10.0)
    assert plan.last.names == ["head", "body"]
    hung_up.append(7)
    client.stand.advance(LOOK_OUT_SECONDS)
    assert plan.last.events[-1] == ("lost", FailureKind.CLIENT_GONE)
    assert client.wire.is_aborted
    client.stand.turn()
    assert client.stand.loop.waiting <= 1


def test_nobody_looks_out_when_reading_goes_on() -> None:
    client = Client(FakePlan(wait))
    client.send(POST[:-3])
    client.connection.block(PEER_FULL)
    client.connection.unblock(PEER_FULL)
    client.stand.advance(1.0)
    assert client.stand.loop.waiting == 1


# -- clients that read slowly


def test_the_exchange_is_told_of_a_client_that_reads_slowly() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET)
    client.wire.stall()
    client.connection.send_head(b"200 OK", b"", 2, b"x" * 70_000, False)
    assert plan.last.events[-1] == ("full",)
    assert client.connection.is_full
    assert client.stand.reactor.full_clients == 1
    client.wire.read_on()
    assert plan.last.events[-1] == ("ready",)
    assert not client.connection.is_full
    assert client.stand.reactor.full_clients == 0


@pytest.mark.parametrize("end", ["lost", "tunnel"])
def test_a_slow_client_is_counted_no_longer_than_it_is_one(end: str) -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET)
    client.wire.stall()
    client.connection.send_head(b"200 OK", b"", 2, b"x" * 70_000, False)
    client.connection.pause_writing()
    assert (client.stand.reactor.full_clients, plan.last.names[-1]) == (1, "full")
    if end == "tunnel":
        client.connection.leave_http()
        assert client.stand.reactor.full_clients == 0
    client.wire.lose(ConnectionResetError())
    client.stand.turn()
    assert client.stand.reactor.full_clients == 0


def test_a_client_that_never_reads_on_is_cut() -> None:
    """A reset, so that nobody takes what it got for the whole."""
    client = Client(plan := FakePlan(wait))
    client.send(GET)
    client.wire.stall()
    client.connection.send_head(b"200 OK", b"", 2, b"x" * 70_000, False)
    client.connection.limit_stall(300.0)
    client.stand.advance(299.9)
    assert plan.last.names[-1] == "full"
    client.stand.advance(0.1 + LATE)
    assert plan.last.events[-1] == ("lost", FailureKind.CLIENT_TIMEOUT)
    assert client.wire.is_aborted and client.wire.sock.options


def test_a_client_that_reads_on_in_time_is_not_cut() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET)
    client.wire.stall()
    client.connection.send_head(b"200 OK", b"", 2, b"x" * 70_000, False)
    client.connection.limit_stall(300.0)
    client.stand.advance(299.0)
    client.wire.read_on()
    client.stand.advance(1000.0)
    assert plan.last.names[-1] == "ready" and not client.is_over


def test_a_small_answer_that_nobody_reads_does_not_hold_the_connection_for_ever() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET)
    client.wire.stall()
    plan.last.answer(b"x" * 70_000)
    client.stand.advance(300.0 + LATE)
    assert client.wire.is_aborted


# -- clients that ask and ask and read nothing


def big(exchange: FakeExchange) -> None:
    if exchange.names[-1] == "end":
        exchange.answer(b"x" * 70_000)


@pytest.mark.parametrize("form", ["one packet", "packets"])
def test_no_request_begins_for_a_client_that_reads_no_answers(form: str) -> None:
    """Or a client could fill our memory with answers. When it reads on, it goes on."""
    client = Client(plan := FakePlan(big))
    client.wire.stall()
    requests = [GET, POST, CHUNKED, GET]
    client.send(*([b"".join(requests)] if form == "one packet" else requests))
    assert len(plan.exchanges) == 1
    for count in (2, 3, 4):
        client.wire.stall()
        client.wire.read_on()
        client.wire.stall()
        client.stand.turn()
        assert len(plan.exchanges) == count
    client.wire.read_on()
    client.stand.turn()
    assert all("end" in exchange.names for exchange in plan.exchanges)


def test_what_such_a_client_may_send_is_bounded() -> None:
    client = Client(plan := FakePlan(big))
    client.wire.stall()
    client.send(GET, *[GET] * 5_000)
    assert client.wire.is_paused and len(plan.exchanges) == 1
    while client.wire.buffered:
        client.wire.read_on()
        client.stand.turn()
    assert len(plan.exchanges) == 5_001
    assert not client.wire.is_paused and client.connection.is_idle


def test_such_a_client_is_cut_in_time() -> None:
    client = Client(plan := FakePlan(big))
    client.wire.stall()
    client.send(GET, GET)
    client.stand.advance(300.0 + LATE)
    assert client.wire.is_aborted and len(plan.exchanges) == 1


def test_an_answer_that_a_client_did_not_read_before_it_left_does_not_stay() -> None:
    client = Client(FakePlan(big))
    client.wire.stall()
    client.send(GET)
    client.wire.feed_eof()
    assert not client.wire.is_aborted
    client.stand.advance(LINGER_SECONDS + LATE)
    assert client.wire.is_aborted
    assert client.listener.connections == set()


# -- draining, for who was not told


def half_answered() -> tuple[Client, FakePlan]:
    """The drain begins in the middle of an answer whose head promised to keep the connection."""
    client = Client(plan := FakePlan(wait))
    client.send(GET)
    client.connection.send_head(b"200 OK", b"Content-Length: 2\r\n", SIZED, b"o", False)
    client.listener.drain()
    client.connection.send_body(b"k")
    client.connection.send_end([])
    plan.react = answer_at_end
    return client, plan


def test_a_request_on_its_way_when_the_drain_began_is_answered() -> None:
    client, _ = half_answered()
    assert client.wire.take() == OK and not client.is_over
    client.stand.advance(DRAIN_GRACE - 0.01)
    assert client.send(GET) == OK_CLOSE
    assert client.is_over


def test_nobody_waits_for_long_for_such_a_request() -> None:
    client, _ = half_answered()
    client.stand.advance(DRAIN_GRACE + LATE)
    assert client.is_over
    client.stand.turn()
    assert client.listener.connections == set()
