"""Attempts: one after the other, each with a backend that is given back once, and only as often as is safe."""

from __future__ import annotations

import pytest

from posthouse.config.queue_spec import QueueSpec
from posthouse.errors import Failure, FailureKind, Place, Sent, Side
from posthouse.protocol.fields import Field
from posthouse.proxy.ports import NO_PEER, PEER_FULL
from unit.proxy.peers import Connection
from unit.proxy.playbook import Play
from unit.proxy.samples import OFF, endpoint, route, rules

GET = ("GET / HTTP/1.1", "Host: x")
POST = ("POST /f HTTP/1.1", "Host: x", "Content-Length: 3")
PUT = ("PUT /f HTTP/1.1", "Host: x", "Content-Length: 6")
STALE = FailureKind.RESET


# -- an attempt fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FailureKind.CONNECT, b"502 Bad Gateway"),
        (FailureKind.DNS, b"502 Bad Gateway"),
        (FailureKind.CONNECT_TIMEOUT, b"504 Gateway Timeout"),
    ],
)
def test_no_connection(kind: FailureKind, status: bytes) -> None:
    play = Play(route("a", fail_timeout=10.0))
    play.request()
    play.refuse("a", kind)
    assert play.client.answer.status == status
    assert play.client.answer.body == status + b"\n"
    assert play.client.is_persistent, "the client has done nothing wrong"
    assert play.backend("a").is_marked(play.world.now)
    assert play.over() == [f"{status[:3].decode()} a {kind}"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FailureKind.RESET, b"502 Bad Gateway"),
        (FailureKind.MALFORMED, b"502 Bad Gateway"),
        (FailureKind.RESPONSE_TIMEOUT, b"504 Gateway Timeout"),
    ],
)
def test_no_response(kind: FailureKind, status: bytes) -> None:
    play = Play(route("a", fail_timeout=10.0))
    play.request()
    play.connect().breaks(kind)
    assert play.client.answer.status == status
    assert play.backend("a").is_marked(play.world.now)
    assert play.over() == [f"{status[:3].decode()} a {kind}"]


@pytest.mark.parametrize("kind", [FailureKind.TRUNCATED, FailureKind.IDLE_TIMEOUT, FailureKind.MALFORMED])
def test_a_response_that_breaks_off_is_shown_as_broken(kind: FailureKind) -> None:
    play = Play(route("a", "b", fail_timeout=10.0, duration=10.0))
    play.request()
    backend = play.connect("a")
    backend.answers(body=b"half", more=True)
    backend.breaks(kind)
    answer = play.client.answer
    assert answer.is_cut and not answer.is_complete
    assert play.dialled() == [], "nothing is tried again"
    assert play.backend("a").is_marked(play.world.now), "it counts, though the head had come"
    assert play.over() == [f"200 a {kind}"]


def test_a_failure_is_logged_with_what_is_known() -> None:
    place = Place("Caddyfile", 3, 5)
    play = Play(route("a", places=(("response_timeout", place),)), at=("x",))
    play.request("GET /p?q HTTP/1.1", "Host: x")
    play.connect().breaks(FailureKind.RESPONSE_TIMEOUT)
    assert play.world.log.lines == [
        (
            "error",
            "upstream failed",
            {
                "failure": "response_timeout",
                "reason": "test",
                "upstream": "http://a",
                "attempt": 1,
                "place": place,
                "site": "x",
                "method": "GET",
                "uri": "/p?q",
            },
        )
    ]


def test_success_is_logged_nowhere_but_in_the_access_log() -> None:
    play = Play(route("a"))
    play.request()
    play.connect().answers("500 Internal Server Error", body=b"mine")
    assert play.world.log.lines == []
    assert play.over() == ["500 a"], "what a backend answers is no failure"


def test_failures_count_only_where_they_are_remembered() -> None:
    play = Play(route("a"))
    play.request()
    play.refuse()
    assert not play.backend("a").is_marked(play.world.now)
    play.request()
    assert play.dialled() == ["a"]


# -- nobody to try -------------------------------------------------------------------------------------------------


def test_all_marked() -> None:
    play = Play(route("a", fail_timeout=10.0))
    play.request()
    play.refuse()
    play.world.pass_time(2.5)
    play.request()
    answer = play.client.answers[-1]
    assert answer.status == b"503 Service Unavailable"
    assert b"Retry-After: 8" in answer.fields, "7.5 s, and never too early"
    assert play.world.log.failures() == ["connect", "no_backend"]
    assert play.over() == ["502 a connect", "503 - no_backend"]


def test_all_full() -> None:
    play = Play(route("a", max_conns=1, queue=QueueSpec(0), duration=5.0))
    play.request()
    first = play.connect()
    others = play.client
    play.client = type(others)(play.world)
    play.request()
    assert play.client.answer.status == b"503 Service Unavailable"
    assert b"Retry-After: 1" in play.client.answer.fields
    first.answers()
    assert play.over() == ["503 - full", "200 a"]


def test_the_limit_of_a_backend_is_exact() -> None:
    play = Play(route("a", max_conns=1))
    for _ in range(3):
        play.request()
        play.connect().answers()
    assert play.over() == ["200 a"] * 3


def test_the_failure_that_left_no_backend_is_the_one_that_is_told() -> None:
    play = Play(route("a", fail_timeout=10.0, duration=1.0))
    play.request()
    play.refuse()
    play.world.pass_time(2.0)
    assert play.client.answer.status == b"502 Bad Gateway", "not 503: one was tried, and broke"
    assert play.over() == ["502 a connect"]


# -- again ---------------------------------------------------------------------------------------------------------


def test_the_next_backend_is_tried_at_once() -> None:
    play = Play(route("a", "b", duration=1.0))
    play.request()
    play.refuse("a")
    play.connect("b").answers(body=b"ok")
    assert play.client.answer.body == b"ok"
    assert play.over() == ["200 b x2"], "a success in the end is no failure"


def test_one_attempt_without_try_duration() -> None:
    play = Play(route("a", "b"))
    play.request()
    play.refuse("a")
    assert play.over() == ["502 a connect"]


def test_who_was_tried_is_tried_again_after_a_growing_while() -> None:
    play = Play(route("a", duration=10.0, interval=1.0))
    play.request()
    for wait in (1.0, 1.5, 2.25):
        play.refuse("a")
        assert play.world.live_timers() == [wait]
        play.world.pass_time(wait - 0.01)
        assert play.dialled() == []
        assert play.held() == {}, "nobody waits holding a backend"
        play.world.pass_time(0.02)
    play.connect("a").answers()
    assert play.over() == ["200 a x4"]


def test_it_ends_with_try_duration() -> None:
    play = Play(route("a", duration=2.0, interval=1.0))
    play.request()
    play.refuse("a")
    play.world.pass_time(1.0)
    play.refuse("a")
    assert play.world.live_timers() == [1.0], "not 1.5: no wait goes past the end"
    play.world.pass_time(1.0)
    play.refuse("a")
    assert play.over() == ["502 a x3 connect"]


def test_a_backend_that_comes_back_while_we_wait() -> None:
    play = Play(route("a", fail_timeout=1.0, duration=10.0, interval=2.0))
    play.request()
    play.refuse("a")
    play.world.pass_time(2.0)
    play.connect("a").answers()
    assert play.over() == ["200 a x2"]


def test_a_client_that_leaves_between_two_attempts() -> None:
    play = Play(route("a", duration=10.0))
    play.request()
    play.refuse("a")
    play.client.leaves()
    assert play.over() == ["499 a client_gone"]
    play.world.pass_time(60.0)
    assert play.dialled() == [], "nothing is tried for nobody"


def test_a_client_that_leaves_after_a_100_and_a_failure() -> None:
    """The timer of the 100 and the one of the retry are two."""
    play = Play(route("a", duration=30.0, interval=3.0))
    play.request("PUT /f HTTP/1.1", "Host: x", "Content-Length: 6", "Expect: 100-continue", more=True)
    backend = play.connect("a")
    backend.informs("100 Continue")
    play.world.pass_time(0.2)
    backend.breaks()
    play.world.pass_time(1.8)
    play.client.leaves()
    assert play.over() == ["499 a client_gone"]
    play.world.pass_time(60.0)
    assert play.dialled() == []


def test_what_is_sent_in_a_second_attempt_knows_nothing_of_the_first() -> None:
    one = endpoint("a", base_path="/one", base_query="a=1", credentials="me:a")
    two = endpoint("b", base_path="/two", base_query="b=2")
    play = Play(
        route(one, two, duration=1.0, without="/x", header_upstream=rules("+X-N 1", "X-To {upstream}"))
    )
    play.request("GET /x/y?q=0 HTTP/1.1", "Host: x")
    first = play.connect("a")
    assert first.line == b"GET /one/y?a=1&q=0 HTTP/1.1"
    assert b"Authorization: Basic bWU6YQ==" in first.fields
    first.breaks()
    second = play.connect("b")
    assert second.line == b"GET /two/y?b=2&q=0 HTTP/1.1"
    assert b"Host: b" in second.fields and b"X-To: http://b/two" in second.fields
    assert second.fields.count(b"X-N: 1") == 1
    assert not any(line.startswith(b"Authorization") for line in second.fields)


# -- what may be sent twice ----------------------------------------------------------------------------------------


def test_a_post_that_reached_nobody_is_sent_again_with_its_body() -> None:
    play = Play(route("a", "b", duration=1.0))
    play.request(*POST, body=b"on", more=True)
    play.refuse("a")
    play.client.sends(b"e")
    play.client.ends()
    backend = play.connect("b")
    assert (backend.body, backend.is_complete) == (b"one", True)
    backend.answers()
    assert play.over() == ["200 b x2"]


@pytest.mark.parametrize("body", [b"one", b""], ids=["with a body", "without"])
def test_a_post_that_was_handed_over_is_never_sent_again(body: bytes) -> None:
    play = Play(route("a", "b", duration=10.0))
    play.request("POST /f HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", body=body)
    play.connect("a").breaks(FailureKind.RESET)
    assert play.client.answer.status == b"502 Bad Gateway"
    assert play.over() == ["502 a reset"]


def test_what_will_not_be_sent_again_is_not_kept() -> None:
    play = Play(route("a"))
    exchange = play.request(*POST, body=b"o", more=True)
    backend = play.connect("a")
    assert exchange.body is not None and not exchange.body.is_kept and exchange.body.kept_size == 0
    assert play.client.pumped_to is backend.transport, "so the rest may go the short way at once"
    play.client.sends(b"ne")
    assert exchange.body.kept_size == 0 and backend.body == b"one"


def test_a_put_is_sent_again_with_what_came_of_it() -> None:
    play = Play(route("a", "b", duration=10.0))
    play.request(*PUT, body=b"on", more=True)
    first = play.connect("a")
    play.client.sends(b"et")
    first.breaks()
    second = play.connect("b")
    assert second.body == b"onet"
    play.client.sends(b"wo")
    play.client.ends()
    assert (second.body, second.is_complete) == (b"onetwo", True)
    second.answers()
    assert play.over() == ["200 b x2"]


def test_a_chunked_put_is_sent_again_with_its_trailers() -> None:
    play = Play(route("a", "b", duration=10.0))
    play.request("PUT /f HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", body=b"one", more=True)
    first = play.connect("a")
    trailer = Field(b"X-Sum", b"1")
    play.client.ends(trailer)
    assert first.trailers == [trailer]
    first.breaks()
    second = play.connect("b")
    assert (second.body, second.trailers, second.is_complete) == (b"one", [trailer], True)


@pytest.mark.parametrize(("limit", "attempts"), [(6, 2), (5, 1), (0, 1)])
@pytest.mark.parametrize("first", [b"onetwo", b"one", b""], ids=["at once", "in two pieces", "later"])
def test_a_body_is_kept_for_another_attempt_up_to_a_limit(first: bytes, limit: int, attempts: int) -> None:
    play = Play(route("a", "b", duration=10.0, replay_limit=limit))
    play.request(*PUT, body=first, more=first != b"onetwo")
    backend = play.connect("a")
    if first != b"onetwo":
        play.client.sends(b"onetwo"[len(first) :])
        play.client.ends()
    backend.breaks()
    if attempts == 2:
        assert play.connect("b").body == b"onetwo"
    else:
        assert play.client.answer.status == b"502 Bad Gateway"
        assert play.over() == ["502 a reset"]


def test_what_reached_nobody_is_sent_again_whatever_the_limit() -> None:
    play = Play(route("a", "b", duration=10.0, replay_limit=0))
    play.request(*PUT, body=b"onetwo")
    play.refuse("a")
    assert play.connect("b").body == b"onetwo"


def test_much_body_waits_while_no_backend_takes_it() -> None:
    play = Play(route("a", duration=10.0))
    play.request("PUT /f HTTP/1.1", "Host: x", "Content-Length: 100000", body=b"x" * 70_000, more=True)
    play.connect("a").breaks()
    assert play.client.blocked == {NO_PEER}
    play.world.pass_time(0.25)
    assert play.connect("a").body == b"x" * 70_000
    assert play.client.blocked == set()


def test_a_backend_that_failed_does_not_pause_the_client_any_more() -> None:
    play = Play(route("a", "b", duration=10.0))
    play.request(*PUT, body=b"one", more=True)
    first = play.connect("a")
    first.stops_reading()
    first.breaks()
    play.connect("b")
    assert play.client.blocked == set()


def test_a_backend_that_has_answered_does_not_pause_the_next_request() -> None:
    play = Play(route("a"))
    play.request(*PUT, body=b"onetwo")
    backend = play.connect()
    backend.stops_reading()
    backend.answers("413 Request Entity Too Large")
    assert PEER_FULL not in play.client.blocked


# -- kept-alive connections ----------------------------------------------------------------------------------------


def test_a_stale_connection_is_nobodys_fault() -> None:
    play = Play(route("a", fail_timeout=10.0))
    stale, also_stale = play.warm("a"), play.warm("a")
    play.request()
    also_stale.breaks(STALE)
    assert stale.state == "idle", "the next one is likely as stale: a fresh connection is dialled"
    play.connect("a").answers(body=b"ok")
    assert not play.backend("a").is_marked(play.world.now)
    assert play.world.log.lines == []
    assert play.over() == ["200 a x2"]


@pytest.mark.parametrize("kind", [FailureKind.RESPONSE_TIMEOUT, FailureKind.MALFORMED])
def test_a_kept_alive_connection_that_fails_otherwise_is_the_backends_fault(kind: FailureKind) -> None:
    play = Play(route("a", fail_timeout=10.0))
    backend = play.warm("a")
    play.request()
    backend.breaks(kind)
    assert play.backend("a").is_marked(play.world.now)
    assert play.over()[0].endswith(f" a {kind}")


def test_a_response_that_had_begun_is_not_stale() -> None:
    play = Play(route("a", fail_timeout=10.0))
    backend = play.warm("a")
    play.request()
    backend.breaks(FailureKind.RESET, is_started=True)
    assert play.backend("a").is_marked(play.world.now)
    assert play.over() == ["502 a reset"]


def test_before_a_post_we_look_twice_and_do_not_send_it_again() -> None:
    play = Play(route("a", duration=10.0))
    backend = play.warm("a")
    play.request(*POST, body=b"one")
    assert play.world.careful == [True]
    backend.breaks(STALE)
    assert play.dialled() == []
    assert play.over() == ["502 a reset"]
    assert play.world.log.failures() == ["reset"], (
        "nobody's fault, but the client got a 502: the log says why"
    )


@pytest.mark.parametrize("lines", [PUT, ("PUT / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked")])
def test_before_a_body_we_look_twice_too(lines: tuple[str, ...]) -> None:
    """It may become more than is kept for replay before the backend's close is seen."""
    play = Play(route("a", replay_limit=4))
    backend = play.warm("a")
    play.request(*lines, body=b"one", more=True)
    assert play.world.careful == [True]
    play.client.sends(b"more")
    backend.breaks(STALE)
    assert play.dialled() == []
    assert play.over() == ["502 a reset"]
    assert play.world.log.failures() == ["reset"]


def test_before_a_get_there_is_no_need_to_look() -> None:
    play = Play(route("a"))
    play.warm("a")
    play.request()
    assert play.world.careful == [False]


def test_whose_connection_it_is_matters_where_backends_are_told() -> None:
    """Otherwise any warm one will do; who dials is told in any case."""
    for version, asked in ((None, None), ("v1", "client")):
        play = Play(route("a", proxy_protocol=version))
        play.request()
        assert play.world.clients == [asked and play.client, play.client]


def test_stale_connections_do_not_go_on_for_ever() -> None:
    """Only a bug, or a backend that plays with us, makes fresh connections stale; three times, then it is a failure."""
    play = Play(route("a"))
    play.warm("a")
    play.request()
    connection: Connection = play.world.connections[-1]
    for _ in range(3):
        connection.breaks(STALE)
        connection = play.connect("a")
        connection.is_reused = True
    assert play.world.log.failures() == []
    connection.breaks(STALE)
    assert play.over() == ["502 a x4 reset"]
    assert play.world.log.failures() == ["reset"]


# -- time ----------------------------------------------------------------------------------------------------------


def test_the_wait_for_a_response_begins_when_the_request_is_sent() -> None:
    play = Play(route("a", response=5.0))
    play.request()
    play.world.pass_time(3.0)
    assert play.connect().deadline == 8.0


def test_while_the_body_comes_the_client_is_waited_for() -> None:
    """A slow client is no slow backend; the client has `timeouts body`."""
    play = Play(route("a", response=5.0, idle=7.0))
    play.request(*PUT, more=True)
    backend = play.connect()
    assert backend.deadline == OFF
    play.client.sends(b"one")
    play.world.pass_time(2.0)
    assert backend.deadline == OFF
    play.client.sends(b"two")
    play.client.ends()
    assert backend.deadline == 7.0
    backend.answers(body=b"a", more=True)
    assert backend.idle_timeout == 7.0 and backend.deadline == 9.0


def test_while_a_backend_takes_no_more_of_the_body_it_is_waited_for() -> None:
    play = Play(route("a", response=5.0))
    play.request(*PUT, more=True)
    backend = play.connect()
    play.world.pass_time(2.0)
    backend.stops_reading()
    assert backend.deadline == 7.0
    play.world.pass_time(1.0)
    backend.reads_on()
    assert backend.deadline == OFF, "it is the client's turn again"
    backend.stops_reading()
    play.client.ends()
    backend.reads_on()
    assert backend.deadline == 8.0, "the request is complete: nobody else is left to wait for"


def test_a_body_that_was_there_before_the_connection_starts_the_wait() -> None:
    play = Play(route("a", response=5.0))
    play.request(*PUT, body=b"onetwo")
    assert play.connect().deadline == 5.0


def test_while_the_answer_comes_only_its_own_limit_holds() -> None:
    play = Play(route("a", response=5.0, idle=7.0))
    play.request(*PUT, more=True)
    backend = play.connect()
    backend.answers(body=b"early", more=True)
    backend.stops_reading()
    backend.reads_on()
    play.client.sends(b"onetwo")
    play.client.ends()
    assert backend.deadline == 7.0


@pytest.mark.parametrize("phase", ["dialling", "waiting", "between attempts"])
def test_the_whole_exchange_has_a_limit(phase: str) -> None:
    place = Place("Caddyfile", 4, 1)
    play = Play(
        route(
            "a",
            exchange=3.0,
            duration=60.0,
            interval=60.0,
            fail_timeout=10.0,
            places=(("exchange_timeout", place),),
        )
    )
    play.request()
    if phase == "waiting":
        play.connect()
    elif phase == "between attempts":
        play.refuse()
    play.world.pass_time(3.0)
    assert play.client.answer.status == b"504 Gateway Timeout"
    _, what, fields = play.world.log.lines[-1]
    assert (what, fields["failure"], fields["place"]) == ("exchange failed", "exchange_timeout", place)
    assert play.backend("a").is_marked(play.world.now) == (phase == "between attempts"), "the limit is ours"
    assert play.over() == ["504 a exchange_timeout"]


def test_the_whole_exchange_has_a_limit_in_the_middle_of_an_answer() -> None:
    play = Play(route("a", exchange=3.0))
    play.request()
    play.connect().answers(body=b"half", more=True)
    play.world.pass_time(3.0)
    assert play.client.answer.is_cut
    assert play.over() == ["200 a exchange_timeout"]


def test_an_exchange_in_time_leaves_no_timer() -> None:
    play = Play(route("a", exchange=3.0))
    play.request()
    play.connect().answers()
    assert play.over() == ["200 a"]


def test_while_there_is_no_backend_the_100_can_wait_no_longer() -> None:
    """The second runs from the sending of the head on; it goes on over a failure."""
    play = Play(route("a", duration=30.0, interval=5.0))
    play.request("PUT /f HTTP/1.1", "Host: x", "Content-Length: 6", "Expect: 100-continue", more=True)
    play.world.pass_time(2.0)
    play.connect("a").breaks()
    play.world.pass_time(1.0)
    assert len(play.client.informational) == 1
    play.client.sends(b"onetwo")
    play.client.ends()
    play.world.pass_time(5.0)
    assert play.connect("a").body == b"onetwo"


def test_a_client_that_is_full_already_pauses_the_backend() -> None:
    """Its last answer is still on its way."""
    play = Play(route("a"))
    play.client.is_full = True
    play.request()
    backend = play.connect()
    assert backend.blocked == {PEER_FULL}
    play.client.reads_on()
    assert backend.blocked == set()


def test_a_client_that_is_full_already_has_a_limit() -> None:
    """Every wait has an end: the backend can't be heard, so it is the client who has to do something."""
    play = Play(route("a"))
    play.client.is_full = True
    play.request()
    play.connect()
    assert play.client.stall_limit == play.world.now + 300.0


def test_a_timer_that_was_called_off_too_late_does_nothing() -> None:
    """Some loops have queued the callback already."""
    play = Play(route("a", duration=10.0))
    play.request()
    play.refuse("a")
    play.client.leaves()
    for timer in play.world.calls:
        timer.callback()
    assert play.dialled() == []
    assert play.over() == ["499 a client_gone"]


# -- dials ---------------------------------------------------------------------------------------------------------


def test_a_connection_that_nobody_wants_any_more_is_closed() -> None:
    """The dial was called off, but it had come about in the same turn of the loop."""
    play = Play(route("a"))
    exchange = play.request()
    (dial,) = play.world.dials
    play.client.leaves()
    late = Connection(play.world, "a")
    dial.on_done(late)
    assert late.state == "closed"
    assert exchange.connection is None
    assert play.over() == ["499 a client_gone"]


def test_a_failure_that_interests_nobody_any_more() -> None:
    play = Play(route("a"))
    exchange = play.request()
    backend = play.connect()
    play.client.leaves()
    del backend
    exchange.on_upstream_failure(Failure(FailureKind.RESET, Side.UPSTREAM, "late", Sent.SOME))
    assert play.over() == ["499 a client_gone"]


def test_out_of_descriptors_is_not_the_backends_fault() -> None:
    play = Play(route("a", fail_timeout=10.0))
    play.request()
    (dial,) = play.world.dials
    dial.end(Failure(FailureKind.CONNECT, Side.POSTHOUSE, "too many open files", Sent.NOTHING))
    assert not play.backend("a").is_marked(play.world.now)
    assert play.world.log.lines[0][1] == "exchange failed"
    assert play.over() == ["503 a connect"]


# -- what policies are told ------------------------------------------------------------------------------------


def seen(play: Play, host: str = "a") -> float:
    """Seconds that the policy expects of a backend."""
    return play.backend(host).latency.estimate(play.world.now, 10.0)


def test_ewma_is_told_when_the_head_came() -> None:
    play = Play(route("a", "b", policy="ewma"))
    play.request()
    [host] = play.dialled()
    play.world.now += 0.25
    connection = play.connect(host)
    play.world.now += 0.5
    connection.answers(body=b"half", more=True)
    assert seen(play, host) == 0.5, "without dialling: kept connections would look quicker than they are"
    play.world.now += 5.0
    connection.sends(b"rest")
    connection.ends()
    assert seen(play, host) < 0.5, "how long the body takes is not the question"
    assert play.over() == [f"200 {host}"]


def test_ewma_is_not_told_how_slow_the_client_is() -> None:
    play = Play(route("a", policy="ewma"))
    exchange = play.request(*PUT, body=b"one", more=True)
    connection = play.connect()
    play.world.now += 9.0
    exchange.on_request_body(b"two")
    exchange.on_request_end([])
    play.world.now += 0.5
    connection.answers()
    assert seen(play) == 0.5


def test_ewma_is_not_told_of_answers_to_half_a_request() -> None:
    play = Play(route("a", policy="ewma"))
    play.request(*PUT, body=b"one", more=True)
    connection = play.connect()
    play.world.now += 9.0
    connection.answers("413 Content Too Large")
    assert not play.backend("a").latency.is_known


def test_ewma_is_told_of_failures_and_upgrades() -> None:
    play = Play(route("a", policy="ewma"))
    play.request()
    play.connect().breaks(FailureKind.RESET)
    assert seen(play) == 1.0
    upgraded = Play(route("a", policy="ewma"))
    upgraded.request("GET / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket")
    connection = upgraded.connect()
    upgraded.world.now += 2.0
    connection.upgrades("Connection: Upgrade", "Upgrade: websocket")
    assert seen(upgraded) == 2.0
    upgraded.lose_tunnel()


def test_others_are_told_nothing() -> None:
    play = Play(route("a", policy="random"))
    play.request()
    play.world.now += 2.0
    play.connect().answers()
    assert not play.backend("a").latency.is_known
