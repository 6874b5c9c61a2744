"""Heads of responses are judged before they are passed on; some are passed over."""

from __future__ import annotations

import pytest

from posthouse.balance.breaker import Phase
from posthouse.config.specs import BreakerSpec, PassiveSpec
from posthouse.errors import FailureKind
from unit.proxy.playbook import Play
from unit.proxy.samples import route

PUT = ("PUT /f HTTP/1.1", "Host: x", "Content-Length: 6")
POST = ("POST /f HTTP/1.1", "Host: x", "Content-Length: 3")
BUSY = "503 Service Unavailable"
ON_503 = ("connect", "503")


def test_nothing_is_judged_that_nobody_asked_for() -> None:
    play = Play(route("a"))
    assert not play.request().course.is_judged
    play.connect("a").answers(BUSY)
    assert play.over() == ["503 a"]


def test_another_backend_is_asked_instead() -> None:
    play = Play(route("a", "b", count=2, kinds=ON_503))
    play.request()
    play.connect("a").answers(BUSY, body=b"busy")
    assert play.dialled() == [] and play.held() == {}, "not before the connection has read to the end"
    play.world.pass_time(0.0)
    play.connect("b").answers(body=b"hi")
    assert play.client.answer.body == b"hi"
    assert play.over() == ["200 b x2"]
    (line,) = play.world.log.lines
    assert line[:2] == ("warn", "answer passed over")
    assert (line[2]["status"], line[2]["upstream"], line[2]["attempt"]) == (503, "http://a", 1)


def test_the_last_attempt_passes_on_what_it_got() -> None:
    play = Play(route("a", "b", count=2, kinds=ON_503))
    play.request()
    for host in "ab":
        play.connect(host).answers(BUSY, body=host.encode())
        play.world.pass_time(0.0)
    assert (play.client.answer.status, play.client.answer.body) == (b"503 Service Unavailable", b"b")
    assert play.over() == ["503 b x2"]


@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway", "404 Not Found"])
def test_other_statuses_are_answers(status: str) -> None:
    play = Play(route("a", "b", count=2, kinds=ON_503))
    play.request()
    play.connect("a").answers(status)
    assert play.over() == [f"{status[:3]} a"]


def test_where_nobody_is_left_the_answer_is_passed_on() -> None:
    play = Play(route("a", "b", count=3, kinds=ON_503, fail_timeout=10.0, statuses=((503, 503),)))
    play.backend("b").is_up = False
    play.request()
    play.connect("a").answers(BUSY, body=b"busy")
    assert play.client.answer.body == b"busy", "it counted, so that nobody can be asked now"
    assert play.over() == ["503 a"]


def test_a_body_is_sent_again_and_what_is_still_coming_too() -> None:
    play = Play(route("a", "b", count=2, kinds=ON_503))
    exchange = play.request(*PUT, body=b"abc", more=True)
    play.connect("a").answers(BUSY)
    exchange.on_request_body(b"def")
    exchange.on_request_end([])
    play.world.pass_time(0.0)
    second = play.connect("b")
    assert second.body == b"abcdef"
    second.answers()
    assert play.over() == ["200 b x2"]


@pytest.mark.parametrize(("all_methods", "recorded"), [(False, "503 a"), (True, "200 b x2")])
def test_a_post_only_with_all_methods(all_methods: bool, recorded: str) -> None:
    play = Play(route("a", "b", count=2, kinds=ON_503, all_methods=all_methods))
    play.request(*POST, body=b"abc")
    play.connect("a").answers(BUSY)
    play.world.pass_time(0.0)
    if all_methods:
        second = play.connect("b")
        assert second.body == b"abc"
        second.answers()
    assert play.over() == [recorded]


def test_a_client_that_leaves_meanwhile_asks_nobody_else() -> None:
    play = Play(route("a", "b", count=2, kinds=ON_503))
    exchange = play.request()
    play.connect("a").answers(BUSY)
    exchange.on_downstream_lost(FailureKind.CLIENT_GONE)
    play.world.pass_time(1.0)
    assert play.dialled() == []
    assert play.over() == ["499 a client_gone"]


def test_slow_heads_count_from_the_whole_request_on() -> None:
    """Neither dialling nor the client's own slowness runs against a backend."""
    play = Play(route("a", fail_timeout=60.0, latency=1.0))
    exchange = play.request(*PUT, body=b"abc", more=True)
    play.world.now += 5.0
    backend = play.connect("a")
    play.world.now += 5.0
    exchange.on_request_body(b"def")
    exchange.on_request_end([])
    play.world.now += 0.9
    backend.answers()
    assert play.backend("a").failures(play.world.now) == 0
    play.request()
    backend = play.connect("a")
    play.world.now += 1.0
    backend.answers()
    assert play.backend("a").failures(play.world.now) == 1
    assert play.over() == ["200 a", "200 a"]


def test_an_early_answer_says_nothing_of_speed() -> None:
    play = Play(route("a", fail_timeout=60.0, latency=1.0))
    exchange = play.request(*PUT, body=b"abc", more=True)
    backend = play.connect("a")
    play.world.now += 9.0
    backend.answers("413 Content Too Large")
    exchange.on_request_body(b"def")
    exchange.on_request_end([])
    assert play.backend("a").failures(play.world.now) == 0


def test_trials_of_a_breaker_end_with_their_exchange() -> None:
    breaker = BreakerSpec(minimum=1, open=5.0, trials=1)
    play = Play(route("a", breaker=breaker))
    a = play.backend("a")
    play.request()
    play.connect("a").answers("500 Internal Server Error")
    play.request()
    refused = play.client.answers[-1]
    assert refused.status == b"503 Service Unavailable"
    assert any(line.startswith(b"Retry-After: 5") for line in refused.fields)
    play.world.now += 5.0
    leaving = play.request()
    leaving.on_downstream_lost(FailureKind.CLIENT_GONE)
    assert a.comeback.trials is not None and a.comeback.trials.running == 0, "a trial without a result"
    play.request()
    play.refuse("a")
    assert a.comeback.breaker is not None and a.comeback.breaker.since == play.world.now
    play.world.now += 5.0
    play.request()
    play.connect("a").answers()
    assert a.comeback.breaker.phase is Phase.CLOSED
    assert play.over() == ["500 a", "503 - no_backend", "499 a client_gone", "502 a connect", "200 a"]


@pytest.mark.parametrize("body", [b"", b"ok"])
def test_a_trial_of_a_route_without_a_judge_ends_too(body: bytes) -> None:
    """A reload has given the backend a breaker; the exchange is one of a route from before."""
    play = Play(route("a", budget=None, fail_timeout=0.0))
    assert play.routes[0].judge is None
    play.routes[0].pool.start()
    a = play.backend("a")
    a.configure(
        a.endpoint, 0, PassiveSpec(fail_timeout=0.0, breaker=BreakerSpec(minimum=1, open=5.0, trials=1))
    )
    a.fail(play.world.now, "reset")
    play.world.now += 5.0
    play.request()
    backend = play.connect("a")
    trials = a.comeback.trials
    assert trials is not None and trials.running == 1 and not a.is_usable
    backend.answers(body=body)
    assert trials.running == 0 and a.is_usable, "nobody has judged the answer: another one may be tried"
    assert a.in_flight == 0 and play.over() == ["200 a"]


def test_the_budget_counts_requests_and_not_attempts() -> None:
    play = Play(route("a", "b", count=2))
    budget = play.routes[0].pool.budget
    play.request()
    play.connect("a").breaks(FailureKind.RESET)
    play.connect("b").answers()
    assert (budget.requests, budget.retries) == (1, 1)
    play.request()
    play.refuse("a")
    play.connect("b").answers()
    assert (budget.requests, budget.retries) == (2, 1), "a dial that failed has loaded nobody"


def test_a_spent_budget_is_said_once_and_ends_it() -> None:
    play = Play(route("a", "b", count=2, budget=0.0, budget_least=0.0))
    play.request()
    play.connect("a").breaks(FailureKind.RESET)
    assert play.over() == ["502 a reset"]
    assert [what for _, what, _ in play.world.log.lines] == ["upstream failed", "retry budget spent"]


def test_a_dead_connection_is_no_retry() -> None:
    play = Play(route("a", count=2))
    budget = play.routes[0].pool.budget
    stale = play.warm("a")
    play.request()
    stale.breaks(FailureKind.RESET)
    play.connect("a").breaks(FailureKind.RESET)
    play.world.pass_time(1.0)
    play.connect("a").answers()
    assert (budget.requests, budget.retries) == (1, 1)
    assert play.over() == ["200 a x3"], "which is a dead connection, an attempt, and another one"
