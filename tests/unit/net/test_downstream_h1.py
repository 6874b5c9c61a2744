"""Reading a client's connection: what arrives, what the exchange is told, what the client gets, as conversations."""

from __future__ import annotations

import itertools
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.errors import FailureKind
from posthouse.net.downstream_answer import LINGER_SECONDS
from posthouse.net.downstream_body import PIPELINE_BYTES
from posthouse.net.downstream_h1 import HEADS_A_TURN, LAST_HEAD_BYTES
from posthouse.net.idle import IdleConnections
from posthouse.net.pump import PUMP_FROM
from posthouse.protocol.h1 import TARGET_BYTES, HeadLimits
from unit.net.fakes import OK, OK_CLOSE, Backend, Client, FakeExchange, FakePlan, Told, answer_at_end, wait
from unit.net.messages import CHUNKED, CHUNKED_HEAD, CHUNKS, GET, LATE, POST, names, refusal
from unit.net.wire import Wire
from unit.protocol.rows import rows


def answered(plan: FakePlan) -> list[object]:
    """Targets of the requests that came to their end."""
    return [exchange.head.target.raw for exchange in plan.exchanges if "end" in exchange.names]


# -- requests


def test_a_request_without_a_body() -> None:
    client = Client(plan := FakePlan())
    assert client.connection.is_idle
    assert client.send(GET) == OK
    assert plan.events == [[("head", b"GET", b"/", []), ("end", [])]]
    assert client.connection.is_idle and not client.is_over


def test_a_body_with_a_length() -> None:
    client = Client(plan := FakePlan())
    assert client.send(POST) == OK
    assert plan.events == [[("head", b"POST", b"/p", []), ("body", b"hello"), ("end", [])]]


def test_a_chunked_body_with_trailers() -> None:
    client = Client(plan := FakePlan())
    assert client.send(CHUNKED) == OK
    assert plan.events == [[("head", b"POST", b"/c", []), ("body", b"abcde"), ("end", [(b"Sum", b"1")])]]


def test_an_empty_chunked_body() -> None:
    client = Client(plan := FakePlan())
    assert client.send(CHUNKED_HEAD + b"0\r\n\r\n", CHUNKED_HEAD, b"0\r\n\r\n") == OK + OK
    assert names(plan) == [["head", "end"]] * 2


def test_body_bytes_go_on_at_once() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(POST[:-3])
    assert plan.last.events[1:] == [("body", b"he")]
    client.send(b"l")
    assert plan.last.events[1:] == [("body", b"hel")]
    assert not client.connection.has_whole_request
    client.send(b"lo")
    assert plan.last.events[1:] == [("body", b"hello"), ("end", [])]
    assert client.connection.has_whole_request


def test_the_exchange_sees_the_client() -> None:
    client = Client(FakePlan())
    assert (client.connection.peer, client.connection.peer_port, client.connection.scheme) == (
        "192.0.2.7",
        4711,
        "http",
    )
    assert "192.0.2.7:4711" in repr(client.connection)


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        (("::ffff:192.0.2.9", 80, 0, 0), "192.0.2.9"),
        (("2001:db8::1", 80, 0, 0), "2001:db8::1"),
        ("", ""),
        (None, ""),
    ],
)
def test_peers(name: object, peer: str) -> None:
    """An IPv4 peer of a dual-stack socket is written as IPv4; Unix sockets have no peer."""
    client = Client(FakePlan())
    Wire(client.stand.loop, connection := client.listener.speak(), name)
    assert connection.peer == peer


# -- pipelining


def test_requests_in_one_packet_are_answered_in_order() -> None:
    client = Client(plan := FakePlan())
    assert client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(50))) == OK * 50
    assert answered(plan) == [b"/%d" % i for i in range(50)]


def test_one_request_at_a_time() -> None:
    """The next one begins when the one before was answered, not earlier."""
    client = Client(plan := FakePlan(wait))
    client.send(GET + POST, CHUNKED[:-7])
    assert len(plan.exchanges) == 1
    plan.last.answer(b"1")
    client.stand.turn()
    assert names(plan) == [["head", "end"], ["head", "body", "end"]]
    plan.last.answer(b"2")
    got = client.send(CHUNKED[-7:])
    plan.last.answer(b"3")
    assert names(plan)[2] == ["head", "body", "end"]
    got += client.wire.take()
    assert got == b"".join(OK.replace(b"2\r\n\r\nok", b"1\r\n\r\n%d" % i) for i in (1, 2, 3))


def test_good_bad_good() -> None:
    """Exactly one reaches the plan's handlers; then 400; then nothing is read as a request any more."""
    client = Client(plan := FakePlan())
    assert client.send(GET + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n" + GET) == OK + refusal(400)
    assert client.is_over
    assert client.send(GET, POST) == b""
    assert len(plan.exchanges) == 1


@pytest.mark.parametrize("request_", [GET, POST, CHUNKED], ids=["get", "post", "chunked"])
def test_nothing_is_read_as_a_request_after_close(request_: bytes) -> None:
    client = Client(plan := FakePlan())
    closing = request_.replace(b"Host: a", b"Host: a\r\nConnection: close")
    assert client.send(closing + GET, GET) == OK_CLOSE
    assert client.is_over and len(plan.exchanges) == 1


def test_http_1_0_closes_unless_asked_otherwise() -> None:
    client = Client(FakePlan())
    kept = GET.replace(b"1.1", b"1.0").replace(b"Host: a", b"Host: a\r\nConnection: keep-alive")
    assert client.send(kept) == OK_CLOSE.replace(b"close", b"keep-alive")
    assert client.send(GET.replace(b"1.1", b"1.0") + GET) == OK_CLOSE
    assert client.is_over


def test_what_waits_is_bounded() -> None:
    """More than PIPELINE_BYTES behind a request that runs: the client is not read until it is answered."""
    client = Client(plan := FakePlan(wait))
    client.send(GET, b"x" * PIPELINE_BYTES)
    assert not client.wire.is_paused
    client.send(b"x")
    assert client.wire.is_paused
    plan.last.answer()
    assert not client.wire.is_paused
    assert client.advance(1.0) == OK + refusal(414)


def test_many_small_requests_that_waited_are_all_answered() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET, *[GET] * 3000)
    assert client.wire.is_paused
    plan.react = answer_at_end
    plan.last.answer()
    client.stand.turn()
    assert client.wire.take() == OK * 3001
    assert not client.wire.is_paused


def test_so_many_requests_begin_in_a_turn() -> None:
    """One client that sends nothing but requests that are answered at once leaves the others their turns."""
    client = Client(plan := FakePlan())
    client.wire.feed(GET[:9])
    client.wire.feed(GET[9:] + GET * (HEADS_A_TURN - 1))
    assert len(plan.exchanges) == HEADS_A_TURN
    client.wire.feed(GET[:9])
    client.wire.feed(GET[9:] + GET * (HEADS_A_TURN + 1))
    client.wire.feed(GET)
    assert len(plan.exchanges) == 2 * HEADS_A_TURN, "what arrives meanwhile is kept for the next turn"
    assert not client.wire.is_paused
    client.stand.turn()
    assert client.wire.take() == OK * (2 * HEADS_A_TURN + 3)
    assert client.connection.is_idle


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_flood_of_requests_is_not_read_further_than_a_mark(pieces: int) -> None:
    client = Client(FakePlan())
    count = PIPELINE_BYTES // len(GET) + HEADS_A_TURN + 1
    client.wire.feed(GET[:9])
    client.wire.feed(GET[9:])
    for number in range(pieces):
        client.wire.feed(GET * (count * (number + 1) // pieces - count * number // pieces))
    client.wire.feed(GET)
    assert client.wire.is_paused
    client.stand.turn()
    assert client.wire.take() == OK * (count + 2)
    assert not client.wire.is_paused


def test_a_client_that_leaves_between_its_requests() -> None:
    client = Client(plan := FakePlan())
    client.wire.feed(GET[:9])
    client.wire.feed(GET[9:] + GET * HEADS_A_TURN)
    client.wire.lose()
    client.stand.turn()
    assert len(plan.exchanges) == HEADS_A_TURN


# -- the same events, however the bytes are cut

STREAMS = {
    "plain": GET + GET,
    "different": GET + b"HEAD /x?y HTTP/1.1\r\nhost: B:1\r\nA: b\r\n\r\n" + POST + GET,
    "bodies": POST + CHUNKED + POST,
    "line breaks between": b"\r\n" + GET + b"\r\n" + POST + b"\r\n" + CHUNKED,
    "close": POST + GET.replace(b"Host", b"Connection: close\r\nHost") + GET,
    "HTTP/1.0": GET.replace(b"1.1", b"1.0") + GET,
    "two line breaks": GET + b"\r\n\r\n" + GET,
    "bad after good": GET + b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + GET,
    "bare LF": POST + b"GET / HTTP/1.1\nHost: a\n\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "bad chunk": CHUNKED + CHUNKED.replace(b"3\r\nabc", b"3\r\nabcd") + GET,
    "bad trailer": CHUNKED.replace(b"Sum: 1", b"Sum : 1") + GET,
    "length and coding": POST.replace(b"Host: a", b"Host: a\r\nTransfer-Encoding: chunked") + GET,
    "unknown Expect": POST.replace(b"Host: a", b"Host: a\r\nExpect: x") + GET,
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + GET,
    "unfinished": POST + CHUNKED[:-3],
}


def conversation(pieces: list[bytes]) -> tuple[object, ...]:
    """What was told and answered. How much of a broken body came before its break is left to chance."""
    client = Client(plan := FakePlan())
    got = client.send(*pieces)
    told = [
        [event for event in events if event[0] != "body" or events[-1][0] != "broken"]
        for events in plan.events
    ]
    return told, [error.status for error in plan.refused], got, client.is_over


@pytest.mark.parametrize("stream", [pytest.param(stream, id=name) for name, stream in STREAMS.items()])
def test_cut_at_every_place(stream: bytes) -> None:
    whole = conversation([stream])
    for i in range(1, len(stream)):
        assert conversation([stream[:i], stream[i:]]) == whole, i
    assert conversation([stream[i : i + 1] for i in range(len(stream))]) == whole


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([GET, POST, CHUNKED, b"\r\n"]), min_size=1, max_size=5).map(b"".join),
    st.lists(st.integers(1, 400), max_size=8),
    st.binary(min_size=1, max_size=2),
    st.integers(0, 400),
)
def test_any_cut_of_any_stream(stream: bytes, places: list[int], odd: bytes, where: int) -> None:
    """With something odd in it: whoever got an answer in one cut gets it in every other."""
    for data in (stream, stream[:where] + odd + stream[where:]):
        edges = [0, *sorted({place for place in places if place < len(data)}), len(data)]
        assert conversation([data[a:b] for a, b in itertools.pairwise(edges)]) == conversation([data])


# -- limits, on both sides

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2"
LIMITS: dict[str, tuple[HeadLimits, bytes, bytes]] = {
    "size": (HeadLimits(size=len(HEAD)), HEAD, OK),
    "size + 1": (HeadLimits(size=len(HEAD) - 1), HEAD, refusal(431)),
    "fields": (HeadLimits(fields=3), HEAD, OK),
    "fields + 1": (HeadLimits(fields=2), HEAD, refusal(431)),
    "target": (HeadLimits(), HEAD.replace(b"/", b"/" + b"x" * (TARGET_BYTES - 1), 1), OK),
    "target + 1": (HeadLimits(), HEAD.replace(b"/", b"/" + b"x" * TARGET_BYTES, 1), refusal(414)),
    "target far over": (HeadLimits(), HEAD.replace(b"/", b"/" + b"x" * 200_000, 1), refusal(414)),
    "field far over": (HeadLimits(), HEAD + b"x" * 200_000, refusal(431)),
    "far more fields": (HeadLimits(), HEAD + b"\r\nA: b" * 5_000, refusal(431)),
}


@pytest.mark.parametrize(("limits", "head", "answer"), rows(LIMITS))
def test_limits(limits: HeadLimits, head: bytes, answer: bytes) -> None:
    """The same in one read, in reads of a kernel's size, and when the last read ends inside the empty line."""
    message = head + b"\r\n\r\n"
    for size in (
        len(message),
        65_536,
        1460,
        len(message) - 1,
        len(message) - 2,
        len(message) - 3,
        len(message) - 4,
    ):
        client = Client(plan := FakePlan(limits=limits))
        assert client.send(*(message[i : i + size] for i in range(0, len(message), size))) == answer, size
        assert client.is_over is (answer != OK)
        assert len(plan.refused) == (answer != OK)


def test_reading_stops_at_the_limit() -> None:
    """A head without an end is refused at the limit, not when memory is full; what follows is dropped."""
    client = Client(FakePlan(limits=HeadLimits(size=4096)))
    assert client.send(b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 4000) == b""
    assert client.send(b"x" * 200) == refusal(431)
    assert client.send(*[b"x" * 10_000] * 10) == b""


# -- heads that are met again


def test_the_very_same_request_again() -> None:
    client = Client(plan := FakePlan())
    assert client.send(GET, GET, GET) == OK * 3
    assert plan.exchanges[2].head is plan.exchanges[0].head


@pytest.mark.parametrize(
    "between", [b"", GET + GET, POST, GET.replace(b"/", b"/" + b"x" * LAST_HEAD_BYTES, 1)]
)
def test_a_request_met_under_other_limits_is_judged_anew(between: bytes) -> None:
    """A reload lowers a limit: what went before does not go on, whatever came between."""
    many = GET.replace(b"Host", b"A: 1\r\nB: 2\r\nHost")
    client = Client(FakePlan())
    assert client.send(many, many, many) == OK * 3
    low = FakePlan(limits=HeadLimits(fields=2))
    client.listener.plan = low
    if between:
        assert client.send(between).startswith(OK)
    assert client.send(many) == refusal(431)


def test_each_request_goes_to_the_plan_of_its_time() -> None:
    client = Client(old := FakePlan(wait))
    client.send(GET)
    client.listener.plan = new = FakePlan()
    old.last.answer()
    assert client.send(GET, POST) == OK * 3
    assert (len(old.exchanges), len(new.exchanges)) == (1, 2)


# -- broken bodies


def test_a_bad_chunk_breaks_the_request() -> None:
    client = Client(plan := FakePlan())
    bad = CHUNKED.replace(b"2\r\nde", b"2\r\ndef")
    assert (
        client.send(bad[:-20], bad[-20:] + GET)
        == b"HTTP/1.1 400 broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    assert plan.last.events[-1] == ("broken", 400, FailureKind.CLIENT_MALFORMED)
    assert client.is_over and len(plan.exchanges) == 1


def test_bad_trailers_break_the_request() -> None:
    client = Client(plan := FakePlan())
    client.send(CHUNKED.replace(b"Sum: 1", b"Sum") + GET)
    assert plan.last.events[-1] == ("broken", 400, FailureKind.CLIENT_MALFORMED)
    assert client.is_over and len(plan.exchanges) == 1


def test_more_trailers_than_fields_are_allowed() -> None:
    client = Client(plan := FakePlan(limits=HeadLimits(fields=2)))
    client.send(CHUNKED.replace(b"Sum: 1", b"A: 1\r\nB: 2"))
    assert names(plan)[0][-1] == "end"
    client.send(CHUNKED.replace(b"Sum: 1", b"A: 1\r\nB: 2\r\nC: 3"))
    assert plan.last.events[-1] == ("broken", 400, FailureKind.CLIENT_MALFORMED)


# -- clients that leave


@pytest.mark.parametrize("end", ["eof", "reset"])
@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", POST[:-1], CHUNKED[:-1]], ids=["idle", "head", "sized", "chunked"]
)
def test_a_client_that_leaves(sent: bytes, end: str) -> None:
    """Whoever runs is told once; nothing is left of the connection, in the wheel neither."""
    client = Client(plan := FakePlan(wait))
    if sent:
        client.send(sent)
    if end == "eof":
        client.wire.feed_eof()
    else:
        client.wire.lose(ConnectionResetError())
    client.stand.turn()
    told = [exchange.events[-1] for exchange in plan.exchanges]
    assert told == [("lost", FailureKind.CLIENT_GONE)] * len(plan.exchanges)
    assert client.listener.connections == set()
    assert not any(client.connection in bucket for bucket in client.stand.reactor.timers._buckets.values())
    assert client.wire.take() == b""


def test_a_client_that_leaves_while_it_waits_for_the_answer() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET + POST)
    client.wire.feed_eof()
    client.stand.turn()
    assert names(plan) == [["head", "end", "lost"]]


# -- long bodies


class Sink(Told):
    """The protocol at the other end of a pump."""

    def connection_made(self, transport: object) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None:
        self.add("full")

    def resume_writing(self) -> None:
        self.add("ready")


LONG = PUMP_FROM + 100_000


def long_upload() -> tuple[Client, Wire, FakePlan]:
    """A client in the middle of a long body, pumped to another wire."""
    client = Client(plan := FakePlan(wait))
    target = Wire(client.stand.loop, Sink())
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LONG)
    assert client.connection.pump_to(target)
    assert not client.connection.pump_to(target), "once is enough"
    return client, target, plan


def test_a_long_body_is_pumped() -> None:
    client, target, plan = long_upload()
    data = bytes(range(256)) * (LONG // 256 + 1)
    client.send(data[: LONG - 5], data[LONG - 5 : LONG] + GET)
    assert target.take() == data[:LONG]
    assert plan.last.names == ["head", "end"]
    assert client.wire.protocol is client.connection
    plan.react = answer_at_end
    plan.last.answer()
    client.stand.turn()
    assert client.wire.take() == OK * 2


def test_a_pump_must_go_on_too() -> None:
    client, _, plan = long_upload()
    for _ in range(5):
        client.stand.advance(29.0)
        client.send(b"x" * 1000)
    assert plan.last.names == ["head"]
    client.stand.advance(30.0 + LATE)
    assert plan.last.events[-1] == ("broken", 408, FailureKind.CLIENT_TIMEOUT)


@pytest.mark.parametrize("end", ["eof", "reset"])
def test_a_client_that_leaves_its_pump(end: str) -> None:
    client, target, plan = long_upload()
    client.send(b"x" * 1000)
    if end == "eof":
        client.wire.feed_eof()
    else:
        client.wire.lose(ConnectionResetError())
    client.stand.turn()
    assert plan.last.events[-1] == ("lost", FailureKind.CLIENT_GONE)
    assert client.wire.protocol is client.connection or client.wire.is_closed
    assert client.listener.connections == set()
    assert len(target.take()) == 1000


def test_an_answer_in_the_middle_of_a_pump() -> None:
    """The exchange is over: what still comes of the body does not go to the backend any more."""
    client, target, plan = long_upload()
    client.send(b"x" * 1000)
    plan.last.answer()
    target.take()
    client.send(b"x" * 1000)
    assert target.take() == b""
    assert client.is_over


SHORT: dict[str, tuple[bytes, bytes]] = {
    "too short": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (PUMP_FROM - 1), b""),
    "too little left": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % PUMP_FROM, b"x"),
    "chunked": (CHUNKED_HEAD, b""),
    "complete": (GET, b""),
}


@pytest.mark.parametrize(("head", "more"), rows(SHORT))
def test_bodies_that_are_not_worth_a_pump(head: bytes, more: bytes) -> None:
    client = Client(FakePlan(wait))
    client.send(head)
    if more:
        client.send(more)
    assert not client.connection.pump_to(Wire(client.stand.loop, Sink()))


def test_a_body_just_long_enough() -> None:
    client = Client(FakePlan(wait))
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % PUMP_FROM)
    assert client.connection.pump_to(Wire(client.stand.loop, Sink()))


# -- draining


def test_the_answer_that_is_due_while_draining_is_the_last() -> None:
    client = Client(plan := FakePlan(wait))
    client.send(GET + GET)
    client.listener.drain()
    plan.last.answer()
    client.stand.turn()
    assert client.wire.take() == OK_CLOSE
    assert client.is_over and len(plan.exchanges) == 1


def test_a_request_that_arrives_while_draining_is_answered() -> None:
    """It was on its way already: refusing it would lose what was accepted."""
    client = Client(FakePlan())
    client.listener.drain()
    assert client.send(GET) == OK_CLOSE
    assert client.is_over


def test_a_connection_that_ends_is_gone_in_time() -> None:
    """Whatever the client does with a closed connection, it does not stay."""
    client = Client(FakePlan())
    client.send(GET.replace(b"Host", b"Connection: close\r\nHost") + b"more")
    assert client.is_over
    client.stand.advance(LINGER_SECONDS + LATE)
    assert client.listener.connections == set()


def test_reactions_may_answer_at_the_head() -> None:
    """An exchange that answers before the body is there, again and again."""

    def at_once(exchange: FakeExchange) -> None:
        if exchange.names == ["head"] or exchange.names == ["head", "end"]:
            exchange.answer()

    client = Client(plan := FakePlan(at_once))
    assert client.send(POST[:-5], b"hello" + GET, CHUNKED_HEAD, CHUNKS + GET) == OK * 4
    assert len(plan.exchanges) == 4


def test_nodelay_is_only_touched_where_it_is_off() -> None:
    plan = FakePlan()
    assert Client(plan).wire.sock.options == []
    plan.has_nodelay = False
    assert Client(plan).wire.sock.options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)]


def test_what_was_kept_for_a_client_ends_with_it() -> None:
    for leave in ("connection_lost", "tunnel_ended"):
        client = Client(FakePlan())
        client.connection.own = own = IdleConnections()
        kept = Backend(client.stand)
        own.release(kept.connection, 1)
        if leave == "tunnel_ended":
            client.connection.tunnel_ended()
        else:
            client.wire.lose(None)
            client.stand.turn()
        assert kept.wire.is_closed and not own.release(Backend(client.stand).connection, 1)
