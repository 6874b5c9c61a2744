"""Exchanges: what a client gets for what it sends, and that each ends once with everything given back."""

from __future__ import annotations

import pytest

from posthouse.config.specs import HeaderScopeSpec, LimitsSpec, RequestIdSpec
from posthouse.errors import FailureKind, ProtocolError
from posthouse.protocol.fields import Field
from posthouse.proxy.ports import NO_BODY, NO_PEER, PEER_FULL, SIZED, STREAMED
from unit.proxy.playbook import Play
from unit.proxy.samples import OFF, read_head, route, rules

PUT = ("PUT /f HTTP/1.1", "Host: x", "Content-Length: 6")
CHUNKED = ("PUT /f HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", "Trailer: X-Sum")
SUM = Field(b"X-Sum", b"1")


def limit_body(size: int) -> LimitsSpec:
    return LimitsSpec(body=(("/", size),))


# -- there and back ------------------------------------------------------------------------------------------------


def test_a_request_and_its_response() -> None:
    play = Play(route("a"))
    play.request("GET /p?q HTTP/1.1", "Host: x", "Accept: */*")
    backend = play.connect("a")
    assert backend.line == b"GET /p?q HTTP/1.1"
    assert backend.fields == [
        b"Host: a",
        b"Accept: */*",
        b"X-Forwarded-For: 192.0.2.7",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: x",
        b"Via: 1.1 posthouse",
    ]
    assert play.held() == {"a": 1}
    backend.answers("200 Fine", "X-Word: Given", body=b"hi")
    answer = play.client.answer
    assert (answer.status, answer.mode, answer.body, answer.is_complete) == (b"200 Fine", SIZED, b"hi", True)
    assert answer.fields[0] == b"X-Word: Given", "as sent, and not a Server of ours"
    assert answer.fields[-1] == b"Content-Length: 2"
    assert backend.kept_of == 64, "it is kept for the next request"
    assert play.over() == ["200 a"]


def test_a_warm_connection_costs_no_dial_and_no_timer() -> None:
    play = Play(route("a", keepalive=7))
    backend = play.warm("a")
    play.request()
    assert play.dialled() == []
    assert play.world.calls == []
    backend.answers(body=b"ok")
    assert backend.kept_of == 7
    assert play.over() == ["200 a"]


def test_what_a_head_means_is_worked_out_once_per_connection_that_repeats_it() -> None:
    play = Play(route("a"))
    head = play.request().head
    play.connect().answers()
    course = play.client.memo
    play.client.exchange = again = play.plan.begin(play.client, head, play.world.now)
    again.start(b"", True)
    assert again.course is course
    assert play.connect().line == b"GET / HTTP/1.1"
    play.client.leaves()
    other = play.plan.begin(
        play.client, play.codec.read_request(b"GET / HTTP/1.0", 14, play.plan.limits), 0.0
    )
    assert other.course is not course


def test_after_a_reload_the_same_head_may_mean_something_else() -> None:
    before, after = Play(route("a")), Play(route("b"))
    client, head = before.client, before.request().head
    before.connect("a").answers()
    client.exchange = exchange = after.plan.begin(client, head, after.world.now)
    exchange.start(b"", True)
    assert after.dialled() == ["b"]


def test_a_body_goes_on_piece_by_piece() -> None:
    play = Play(route("a"))
    play.request(*PUT, body=b"on", more=True)
    backend = play.connect("a")
    assert (backend.body, backend.is_complete) == (b"on", False)
    play.client.sends(b"et")
    assert backend.body == b"onet"
    play.client.sends(b"wo")
    play.client.ends()
    assert (backend.body, backend.is_complete) == (b"onetwo", True)
    backend.answers("204 No Content", body=None)
    assert play.over() == ["204 a"]


def test_trailers_go_both_ways() -> None:
    play = Play(route("a"))
    play.request(*CHUNKED, body=b"one", more=True)
    backend = play.connect("a")
    assert b"Trailer: X-Sum" in backend.fields and b"Transfer-Encoding: chunked" in backend.fields
    play.client.ends(SUM)
    assert (backend.body, backend.trailers) == (b"one", [SUM])
    backend.answers("200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum", body=b"a", more=True)
    backend.sends(b"b")
    backend.ends(SUM)
    answer = play.client.answer
    assert (answer.mode, answer.body, answer.trailers) == (STREAMED, b"ab", [SUM])
    assert b"Trailer: X-Sum" in answer.fields
    assert play.over() == ["200 a"]


def test_trailers_that_came_before_there_was_a_connection() -> None:
    play = Play(route("a"))
    play.request(*CHUNKED, more=True)
    play.client.ends(SUM)
    backend = play.connect("a")
    assert (backend.body, backend.trailers, backend.is_complete) == (b"", [SUM], True)


def test_a_body_waits_for_its_connection_within_a_limit() -> None:
    play = Play(route("a"))
    play.request("PUT /f HTTP/1.1", "Host: x", "Content-Length: 100000", body=b"x" * 40_000, more=True)
    assert play.client.blocked == set()
    play.client.sends(b"y" * 40_000)
    assert play.client.blocked == {NO_PEER}
    backend = play.connect("a")
    assert play.client.blocked == set()
    assert backend.body == b"x" * 40_000 + b"y" * 40_000


def test_much_body_with_the_head_pauses_the_client_at_once() -> None:
    play = Play(route("a"))
    play.request("PUT /f HTTP/1.1", "Host: x", "Content-Length: 100000", body=b"x" * 65_536, more=True)
    assert play.client.blocked == {NO_PEER}


@pytest.mark.parametrize(
    ("request_line", "status", "lines"),
    [
        ("GET /", "200 OK", ["Content-Length: 0"]),
        ("HEAD /", "200 OK", ["Content-Length: 9"]),
        ("HEAD /", "200 OK", []),
        ("GET /", "304 Not Modified", ["Content-Length: 9"]),
        ("GET /", "304 Not Modified", []),
        ("GET /", "204 No Content", []),
    ],
)
def test_answers_without_a_body(request_line: str, status: str, lines: list[str]) -> None:
    """No body, no chunks; and a length if and only if the backend gave one."""
    play = Play(route("a"))
    play.request(f"{request_line} HTTP/1.1", "Host: x")
    play.connect().answers(status, *lines, body=None)
    answer = play.client.answer
    assert answer.is_complete and answer.mode != STREAMED and answer.body == b""
    assert [line for line in answer.fields if b"Length" in line] == [line.encode() for line in lines]
    play.over()


def test_no_content_has_no_length() -> None:
    """RFC 9110 8.6."""
    play = Play(route("a"))
    play.request()
    play.connect().answers("204 No Content", "Content-Length: 5", body=None)
    assert not any(line.startswith(b"Content-Length") for line in play.client.answer.fields)


def test_a_body_that_ends_with_the_connection_is_streamed() -> None:
    play = Play(route("a"))
    play.request()
    backend = play.connect()
    backend.answers("200 OK", body=b"one", more=True)
    backend.sends(b"two")
    assert play.client.answer.body == b"onetwo", "each piece at once"
    backend.ends()
    assert (play.client.answer.mode, play.client.answer.is_complete) == (STREAMED, True)
    assert play.over() == ["200 a"]


def test_a_date_is_added_where_the_backend_sent_none() -> None:
    for downstream in ((), rules("X-A 1")):
        play = Play(route("a", header_downstream=downstream))
        play.request()
        backend = play.connect()
        head = play.codec.read_response(b"HTTP/1.1 200 OK\r\nContent-Length: 0", 34)
        backend.state = "complete"
        assert backend.exchange is not None
        backend.exchange.on_response(head, b"", True, 0)
        assert sum(line.startswith(b"Date: ") for line in play.client.answer.fields) == 1


# -- answers of our own --------------------------------------------------------------------------------------------


def test_no_site() -> None:
    play = Play(route("a"), at=("a.test",))
    play.request("GET / HTTP/1.1", "Host: b.test:81")
    assert play.client.answer.status == b"404 Not Found"
    assert play.client.answer.body == b"404 Site b.test:81 is not served on this interface\n"
    assert play.over() == [], "no site, no log of a site"
    assert play.tally.ended == 1


def test_no_route() -> None:
    play = Play(route("a", base="/api"), headers=(HeaderScopeSpec("/", rules("X-A 1")),))
    play.request("GET /other HTTP/1.1", "Host: x")
    answer = play.client.answer
    assert (answer.status, answer.body) == (b"404 Not Found", b"404 Not Found\n")
    assert b"Server: Posthouse" in answer.fields and b"X-Content-Type-Options: nosniff" in answer.fields
    assert b"X-A: 1" in answer.fields, "`header` acts on our own answers as well"
    assert play.over() == ["404 -"]


def test_options_asterisk_is_answered_here() -> None:
    play = Play(route("a"))
    play.request("OPTIONS * HTTP/1.1", "Host: x")
    answer = play.client.answer
    assert (answer.status, answer.body, answer.fields[-1]) == (b"200 OK", b"", b"Content-Length: 0")
    play.over()


def test_our_answer_to_head_has_a_length_and_no_body() -> None:
    play = Play(route("a", base="/api"))
    exchange = play.request("HEAD / HTTP/1.1", "Host: x")
    answer = play.client.answer
    assert (answer.mode, answer.body, answer.fields[-1]) == (NO_BODY, b"", b"Content-Length: 14")
    assert exchange.size == 0


@pytest.mark.parametrize(
    ("passages", "status"), [(15, None), (16, b"508 Loop Detected"), (17, b"508 Loop Detected")]
)
def test_loops_end(passages: int, status: bytes | None) -> None:
    play = Play(route("a"))
    mine = ["1.1 posthouse"] * passages
    play.request(
        "GET /x HTTP/1.1", "Host: x", f"Via: 1.0 other, {', '.join(mine[:8])}", f"Via: {', '.join(mine[8:])}"
    )
    if status is None:
        assert play.dialled() == ["a"]
    else:
        assert play.client.answer.status == status
        assert ("error", "loop", {"site": "", "uri": "/x"}) in play.world.log.lines
        assert play.over() == ["508 -"]


def test_request_ids_are_given_before_anything_is_answered() -> None:
    play = Play(route("a", base="/api"), request_id=RequestIdSpec())
    exchange = play.request("GET / HTTP/1.1", "Host: x")
    assert len(exchange.request_id) == 36
    assert play.client.answer.status == b"404 Not Found"


# -- limits of a body ----------------------------------------------------------------------------------------------


def test_a_body_announced_too_long_never_reaches_a_backend() -> None:
    play = Play(route("a"), limits=limit_body(5))
    play.request(*PUT, more=True)
    assert play.client.answer.status == b"413 Request Entity Too Large"
    assert play.over() == ["413 -"]


def test_a_body_as_long_as_the_limit_passes() -> None:
    play = Play(route("a"), limits=limit_body(6))
    play.request(*PUT, body=b"onetwo")
    play.connect().answers()
    assert play.over() == ["200 a"]


@pytest.mark.parametrize("phase", ["with the head", "dialling", "sending", "answering"])
def test_a_chunked_body_over_its_limit(phase: str) -> None:
    play = Play(route("a", fail_timeout=10.0), limits=limit_body(5))
    play.request(*CHUNKED, body=b"onetwo" if phase == "with the head" else b"one", more=True)
    if phase in ("sending", "answering"):
        backend = play.connect()
        if phase == "answering":
            backend.answers(body=b"early", more=True)
    if phase != "with the head":
        play.client.sends(b"two")
        play.client.sends(b"ignored")
    answer = play.client.answer
    if phase == "answering":
        assert answer.is_cut and not answer.is_complete
    else:
        assert answer.status == b"413 Request Entity Too Large"
    assert not play.client.is_persistent
    assert not play.backends[0].is_marked(play.world.now), "a client's fault counts for nothing"
    status = 200 if phase == "answering" else 413
    who = "-" if phase == "with the head" else "a"
    assert play.over() == [f"{status} {who} client_malformed"]


# -- clients that break the protocol, and clients that leave -------------------------------------------------------


@pytest.mark.parametrize("phase", ["dialling", "sending", "answering"])
@pytest.mark.parametrize(
    ("status", "kind"), [(400, FailureKind.CLIENT_MALFORMED), (408, FailureKind.CLIENT_TIMEOUT)]
)
def test_a_body_that_will_never_be_whole(phase: str, status: int, kind: FailureKind) -> None:
    play = Play(route("a", fail_timeout=10.0, duration=10.0))
    play.request(*CHUNKED, body=b"one", more=True)
    if phase != "dialling":
        backend = play.connect()
        if phase == "answering":
            backend.answers(body=b"early", more=True)
    play.client.breaks(status, kind)
    if phase == "answering":
        assert play.client.answer.is_cut
        assert play.over() == [f"200 a {kind}"]
    else:
        assert play.client.answer.status.startswith(b"%d " % status)
        assert not play.client.is_persistent
        assert play.over() == [f"{status} a {kind}"]
    assert not play.backends[0].is_marked(play.world.now)
    assert len(play.world.dials) == 1, "and nothing is tried again"


def test_a_body_that_is_broken_from_its_first_byte() -> None:
    """The connection tells it before `start`."""
    play = Play(route("a"))
    play.client.exchange = play.plan.begin(play.client, read_head("\n".join(CHUNKED)), play.world.now)
    play.client.breaks()
    assert play.client.answer.status == b"400 Bad Request"
    assert not play.client.is_persistent
    assert play.over() == ["400 - client_malformed"]


def test_a_client_that_leaves_while_dialling() -> None:
    play = Play(route("a"))
    play.request()
    play.client.leaves()
    assert play.over() == ["499 a client_gone"]


def test_a_client_that_leaves_before_the_answer() -> None:
    play = Play(route("a", fail_timeout=10.0))
    play.request()
    backend = play.connect()
    play.client.leaves()
    assert backend.state == "closed"
    assert not play.backends[0].is_marked(play.world.now)
    assert play.over() == ["499 a client_gone"]


def test_what_we_cut_off_is_not_the_clients_doing() -> None:
    play = Play(route("a", fail_timeout=10.0))
    play.request()
    backend = play.connect()
    play.client.leaves(FailureKind.EXCHANGE_TIMEOUT)
    assert backend.state == "closed"
    assert not play.backends[0].is_marked(play.world.now)
    assert play.over() == ["504 a exchange_timeout"]


def test_what_we_cut_off_in_the_middle_of_the_answer() -> None:
    play = Play(route("a"))
    play.request()
    play.connect().answers(body=b"one", more=True)
    play.client.leaves(FailureKind.EXCHANGE_TIMEOUT)
    assert play.over() == ["200 a exchange_timeout"]


def test_a_client_that_leaves_in_the_middle_of_the_answer() -> None:
    play = Play(route("a"))
    play.request()
    backend = play.connect()
    backend.answers(body=b"one", more=True)
    play.client.leaves()
    assert backend.state == "closed"
    assert play.over() == ["200 a client_gone"]


def test_a_client_that_stops_reading_for_good() -> None:
    play = Play(route("a"))
    play.request()
    play.connect().answers(body=b"one", more=True)
    play.client.leaves(FailureKind.CLIENT_TIMEOUT)
    assert play.over() == ["200 a client_timeout"]


def test_the_rest_of_a_body_after_an_early_answer_is_nobodys() -> None:
    play = Play(route("a"))
    exchange = play.request(*PUT, body=b"on", more=True)
    backend = play.connect()
    backend.answers("403 Forbidden", body=b"no")
    assert play.client.answer.status == b"403 Forbidden"
    exchange.on_request_body(b"etwo")
    exchange.on_request_end([])
    exchange.on_request_broken(ProtocolError(400, "late"), FailureKind.CLIENT_MALFORMED)
    exchange.on_downstream_lost(FailureKind.CLIENT_GONE)
    assert play.over() == ["403 a"], "after the end no callback does anything"


def test_an_answer_may_run_while_the_body_still_comes() -> None:
    play = Play(route("a"))
    play.request(*CHUNKED, body=b"one", more=True)
    backend = play.connect()
    backend.answers(body=b"echo:", more=True)
    play.client.sends(b"two")
    backend.sends(b"two")
    assert backend.body == b"onetwo"
    play.client.ends()
    backend.ends()
    assert play.client.answer.body == b"echo:two"
    assert play.over() == ["200 a"]


# -- 1xx and Expect ------------------------------------------------------------------------------------------------


def test_early_hints_pass() -> None:
    play = Play(route("a"))
    play.request()
    backend = play.connect()
    backend.informs("103 Early Hints", "Link: </s.css>", "Connection: x-hop", "X-Hop: 1", "Keep-Alive: 5")
    backend.informs("103 Early Hints", "Link: </t.css>")
    first, second = play.client.informational
    assert first.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n") and first.endswith(b"\r\n\r\n")
    assert b"X-Hop" not in first and b"Keep-Alive" not in first
    assert b"t.css" in second
    backend.answers(body=b"ok")
    assert play.over() == ["200 a"]


def test_a_100_nobody_waits_for_ends_here() -> None:
    play = Play(route("a"))
    play.request(*PUT, body=b"onetwo")
    play.connect().informs("100 Continue")
    assert play.client.informational == []


EXPECT = ("PUT /f HTTP/1.1", "Host: x", "Content-Length: 6", "Expect: 100-continue")
CONTINUE = [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_expect_goes_to_the_backend_and_its_100_comes_back() -> None:
    play = Play(route("a"))
    play.request(*EXPECT, more=True)
    backend = play.connect()
    assert b"Expect: 100-continue" in backend.fields
    assert play.world.live_timers() == [1.0]
    backend.informs("100 Continue")
    assert play.client.informational == CONTINUE
    assert play.world.live_timers() == []
    backend.informs("100 Continue")
    assert play.client.informational == CONTINUE, "one is enough"
    play.client.sends(b"onetwo")
    play.client.ends()
    backend.answers()
    assert play.client.is_persistent
    assert play.over() == ["200 a"]


def test_without_a_100_we_say_it_after_a_second() -> None:
    play = Play(route("a"))
    play.request(*EXPECT, more=True)
    backend = play.connect()
    play.world.pass_time(0.99)
    assert play.client.informational == []
    play.world.pass_time(0.02)
    assert play.client.informational == CONTINUE
    backend.informs("100 Continue")
    assert play.client.informational == CONTINUE


def test_who_sends_the_body_without_waiting_needs_no_100() -> None:
    play = Play(route("a"))
    play.request(*EXPECT, more=True)
    backend = play.connect()
    play.client.sends(b"one")
    assert play.world.live_timers() == []
    play.client.sends(b"two")
    play.client.ends()
    backend.answers()
    assert play.client.is_persistent
    assert play.over() == ["200 a"]


def test_a_body_that_came_with_its_head_starts_no_timer() -> None:
    play = Play(route("a"))
    play.request(*EXPECT, body=b"onetwo")
    play.connect()
    assert play.world.live_timers() == []


@pytest.mark.parametrize("ours", [True, False], ids=["our answer", "the backend's"])
def test_a_final_answer_instead_of_a_100_ends_the_connection(ours: bool) -> None:
    """The client may send its body after all, or never: the next bytes could be read in two ways."""
    play = Play(route("a"))
    play.request(*EXPECT, more=True)
    if ours:
        play.refuse()
    else:
        play.connect().answers("401 Unauthorized", body=b"who?")
    assert not play.client.is_persistent
    assert play.client.informational == []
    assert play.over() == ["502 a connect" if ours else "401 a"]


def test_http_1_0_knows_no_expect() -> None:
    play = Play(route("a"))
    play.request("PUT /f HTTP/1.0", "Content-Length: 6", "Expect: 100-continue", more=True)
    backend = play.connect()
    assert not any(line.startswith(b"Expect") for line in backend.fields)
    assert play.world.live_timers() == []


# -- who can't take more -------------------------------------------------------------------------------------------


def test_a_slow_client_pauses_the_backend_and_has_a_limit() -> None:
    play = Play(route("a", idle=20.0))
    play.request()
    backend = play.connect()
    backend.answers(body=b"one", more=True)
    play.client.stops_reading()
    assert backend.blocked == {PEER_FULL}
    assert play.client.stall_limit == play.world.now + 20.0
    play.client.reads_on()
    assert backend.blocked == set()


def test_a_client_that_is_slow_while_nobody_answers_yet_has_a_limit_too() -> None:
    play = Play(route("a", idle=20.0))
    exchange = play.request()
    play.client.stops_reading()
    assert play.client.stall_limit == play.world.now + 20.0
    assert play.connect().blocked == {PEER_FULL}
    exchange.on_downstream_ready()


def test_a_slow_backend_pauses_the_client() -> None:
    play = Play(route("a"))
    play.request(*CHUNKED, body=b"one", more=True)
    backend = play.connect()
    backend.stops_reading()
    assert play.client.blocked == {PEER_FULL}
    backend.reads_on()
    assert play.client.blocked == set()


def test_long_bodies_go_straight_from_socket_to_socket() -> None:
    play = Play(route("a", replay_limit=4))
    exchange = play.request(*PUT, body=b"on", more=True)
    backend = play.connect()
    assert play.client.pumped_to is None, "what may be sent again passes by us"
    play.client.sends(b"etw")
    assert play.client.pumped_to is backend.transport
    exchange.on_body_pumped(1)
    assert exchange.body is not None and exchange.body.received == 6
    play.client.ends()
    assert backend.is_complete
    backend.answers("200 OK", "Content-Length: 10", body=b"1", more=True)
    assert backend.pumped_to is play.client.transport
    exchange.on_response_pumped(9)
    backend.ends()
    assert exchange.size == 10
    assert play.over() == ["200 a"]


def test_rules_for_the_response_do_not_keep_it_from_the_short_way() -> None:
    play = Play(route("a", header_downstream=rules("X-A 1")))
    play.request()
    backend = play.connect()
    backend.answers("200 OK", "Content-Length: 10", body=b"1", more=True)
    assert backend.pumped_to is play.client.transport
    assert play.client.answer.mode == SIZED


def test_waits_that_are_off_are_endless() -> None:
    play = Play(route("a", response=None, idle=None))
    play.request()
    backend = play.connect()
    assert backend.deadline == OFF and backend.idle_timeout == OFF
    backend.answers()
    assert play.over() == ["200 a"]
