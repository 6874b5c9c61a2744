"""Exchanges that wait for a backend which is not full: who is woken when, and what becomes of who is not."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.balance.active_health import State
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import BreakerSpec
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.proxy.attempts import PENDING_BYTES
from posthouse.proxy.exchange import Exchange
from posthouse.proxy.ports import NO_PEER
from unit.proxy.peers import Client, Connection
from unit.proxy.playbook import Play
from unit.proxy.samples import route

REFUSED = Failure(FailureKind.CONNECT, Side.UPSTREAM, "test", Sent.NOTHING)


class Crowd:
    """Clients one after the other, before one backend that takes one request at a time."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.clients: list[Client] = []
        self.exchanges: list[Exchange] = []

    def comes(self, *lines: str, body: bytes = b"", more: bool = False) -> Exchange:
        self.play.client = Client(self.play.world)
        self.clients.append(self.play.client)
        self.exchanges.append(self.play.request(*lines, body=body, more=more))
        return self.exchanges[-1]

    def turn(self) -> None:
        """The next turn of the event loop."""
        self.play.world.pass_time(0.0)


def crowd(count: int, *hosts: str, **facts: Any) -> Crowd:
    """The first client is being served; the others wait."""
    made = Crowd(Play(route(*hosts or ("a",), **{"max_conns": 1, **facts})))
    for _ in range(count):
        made.comes()
    return made


def test_the_next_one_begins_when_one_ends() -> None:
    three = crowd(3)
    play = three.play
    first = play.connect()
    assert play.dialled() == [] and len(play.world.dials) == 1
    play.world.pass_time(0.25)
    first.answers()
    assert play.held() == {"a": 1} and play.dialled() == [], "taken at once, used in the next turn"
    three.turn()
    assert [exchange.attempts for exchange in three.exchanges] == [1, 1, 0]
    play.connect().answers()
    three.turn()
    play.connect().answers()
    assert [exchange.queue_ms for exchange in three.exchanges] == [0, 250, 250]
    assert play.over() == ["200 a"] * 3


def test_waiting_is_no_attempt() -> None:
    two = crowd(2)
    two.play.connect().answers()
    two.turn()
    two.play.connect().answers()
    assert two.exchanges[1].attempts == 1 and two.exchanges[1].failure is None


def test_a_session_waits_for_its_draining_backend_where_nobody_else_is_left() -> None:
    one = crowd(0, policy="sticky")
    play = one.play
    pool = play.routes[0].pool
    assert pool.sessions is not None
    pool.sessions.use_key(b"k" * 32)
    exchange = one.comes()
    play.connect().answers()
    (backend,) = pool.backends
    cookie = pool.sessions.cookie(exchange, backend).decode().partition(": ")[2].partition(";")[0]
    mine = ("GET / HTTP/1.1", "Host: x", f"Cookie: {cookie}")
    one.comes(*mine)
    running = play.connect()
    backend.believe(State.DRAINING)
    waits = one.comes(*mine)
    one.comes()
    assert len(pool.queue) == 1 and waits.attempts == 0
    running.answers()
    one.turn()
    play.connect().answers()
    assert play.over() == ["200 a", "503 - no_backend", "200 a", "200 a"]


def test_past_the_size_the_answer_comes_at_once() -> None:
    three = crowd(4, queue=QueueSpec(2, 2.5))
    answer = three.clients[3].answer
    assert answer.status == b"503 Service Unavailable" and b"Retry-After: 3" in answer.fields
    assert [exchange.is_finished for exchange in three.exchanges] == [False, False, False, True]
    (line,) = [fields for _, _, fields in three.play.world.log.lines]
    assert (line["failure"], "queue_ms" in line) == ("full", False)
    assert line["reason"] == "every backend that is up is at max_conns, and 2 wait already"


def test_the_wait_has_an_end() -> None:
    two = crowd(2)
    two.play.world.pass_time(0.999)
    assert not two.exchanges[1].is_finished
    two.play.world.pass_time(0.001)
    answer = two.clients[1].answer
    assert answer.status == b"503 Service Unavailable" and b"Retry-After: 1" in answer.fields
    (line,) = [fields for _, _, fields in two.play.world.log.lines]
    assert (line["failure"], line["queue_ms"]) == ("queue_timeout", 1000)
    assert line["reason"] == "waited 1 s: every backend that is up is at max_conns"
    two.play.connect().answers()
    assert two.play.over() == ["503 - queue_timeout", "200 a"]


def test_without_an_end_only_the_client_ends_it() -> None:
    two = crowd(2, queue=QueueSpec(2, None))
    two.play.world.pass_time(1e6)
    assert not two.exchanges[1].is_finished and two.play.world.live_timers() == []
    two.clients[1].leaves(FailureKind.CLIENT_GONE)
    two.play.connect().answers()
    assert two.play.over() == ["499 - client_gone", "200 a"]


def test_who_hangs_up_leaves_at_once() -> None:
    three = crowd(3)
    three.clients[1].leaves(FailureKind.CLIENT_GONE)
    assert len(three.play.routes[0].pool.queue) == 1
    three.play.connect().answers()
    three.turn()
    three.play.connect().answers()
    assert three.play.over() == ["499 - client_gone", "200 a", "200 a"]
    assert three.exchanges[1].attempts == 0


def test_who_hangs_up_when_its_turn_has_come_lets_the_next_one_go() -> None:
    three = crowd(3)
    three.play.connect().answers()
    three.clients[1].leaves(FailureKind.CLIENT_GONE)
    assert three.play.held() == {"a": 1}, "the third has it now"
    three.turn()
    three.play.connect().answers()
    assert three.play.over() == ["200 a", "499 - client_gone", "200 a"]


def test_a_call_that_comes_after_it_was_called_off() -> None:
    """Some loops have queued the callback already."""
    two = crowd(2)
    looks = [timer.callback for timer in two.play.world.calls]
    two.play.connect().answers()
    begins = two.play.world.calls[-1].callback
    two.clients[1].leaves(FailureKind.CLIENT_GONE)
    for late in (*looks, begins):
        late()
    assert two.play.over() == ["200 a", "499 - client_gone"]


def test_the_limit_of_the_whole_exchange_holds_in_the_queue() -> None:
    two = crowd(2, exchange=0.5)
    first = two.play.connect()
    first.answers(body=b"12", more=True)
    two.play.world.pass_time(0.5)
    assert two.play.recorded.lines == ["200 a exchange_timeout", "504 - exchange_timeout"]
    assert two.play.over()


def test_who_is_broken_is_given_to_nobody() -> None:
    """A backend that fails is marked before it is given back: who waits learns that there is nothing to wait for."""
    two = crowd(2, fail_timeout=10.0)
    two.play.refuse()
    two.turn()
    answer = two.clients[1].answer
    assert answer.status == b"503 Service Unavailable" and b"Retry-After: 10" in answer.fields
    assert two.play.over() == ["502 a connect", "503 - no_backend"]


def test_a_mark_that_falls_wakes() -> None:
    two = crowd(2, "a", "b", fail_timeout=0.4)
    play = two.play
    play.world.dials[0].end(REFUSED)
    play.world.pass_time(0.1)
    third = two.comes()
    assert third.attempts == 0 and not third.is_finished, "b is full, a is marked"
    play.world.pass_time(0.29)
    assert play.dialled() == ["b"]
    play.world.pass_time(0.02)
    assert play.dialled() == ["b", "a"]


def test_a_retry_waits_too() -> None:
    """The second attempt finds the other backend full; the failure that led there is forgotten when it is served."""
    two = crowd(2, "a", "b", fail_timeout=10.0, duration=5.0)
    play = two.play
    (a, b) = play.world.dials
    a.end(REFUSED)
    play.world.pass_time(0.25)
    assert not two.exchanges[0].is_finished and len(play.routes[0].pool.queue) == 1
    connection = Connection(play.world, "b")
    b.end(connection)
    connection.answers()
    two.turn()
    play.connect("b").answers()
    assert play.over() == ["200 b", "200 b x2"]


def test_no_more_than_64_kib_of_a_body_are_taken_meanwhile() -> None:
    two = crowd(1, queue=QueueSpec(5, 30.0))
    two.comes("POST / HTTP/1.1", "Host: x", f"Content-Length: {PENDING_BYTES + 10}", more=True)
    client = two.clients[1]
    client.sends(b"x" * (PENDING_BYTES - 1))
    assert NO_PEER not in client.blocked
    client.sends(b"x")
    assert NO_PEER in client.blocked
    two.play.connect().answers()
    two.turn()
    backend = two.play.connect()
    assert NO_PEER not in client.blocked and len(backend.body) == PENDING_BYTES
    client.sends(b"y" * 10)
    client.ends()
    backend.answers()
    assert two.play.over() == ["200 a", "200 a"]


def test_what_it_says_of_itself() -> None:
    two = crowd(2)
    waiter = two.exchanges[1].waiter
    assert waiter is not None and waiter.since == two.play.world.now
    assert repr(waiter) == "<Waiter for 'site /' waiting>"
    two.play.connect().answers()
    assert repr(waiter) == "<Waiter for 'site /' its turn>"
    two.turn()
    assert repr(waiter) == "<Waiter for 'site /' served>"
    assert two.exchanges[0].waiter is None, "who does not wait has none"


@pytest.mark.parametrize("max_conns", [0, 1])
def test_a_pool_that_is_not_full_has_nobody_waiting(max_conns: int) -> None:
    one = crowd(1, max_conns=max_conns)
    one.play.connect().answers()
    assert one.exchanges[0].waiter is None
    assert one.play.over() == ["200 a"]


def test_a_trial_that_was_waited_for_is_given_back_by_who_leaves() -> None:
    breaker = BreakerSpec(minimum=1, open=5.0, trials=2)
    many = crowd(0, max_conns=3, breaker=breaker)
    play = many.play
    a = play.backend("a")
    held = []
    for _ in range(3):
        many.comes()
        held.append(play.connect())
    first, second, third = held
    first.answers("500 Internal Server Error")
    play.world.pass_time(5.0)
    many.comes()
    play.connect()
    assert a.comeback.trials is not None and a.comeback.trials.running == 1
    leaving = many.comes()
    assert len(play.routes[0].pool.queue) == 1, "every place is taken, and one trial is left"
    second.answers()
    assert a.comeback.trials.running == 2 and a.in_flight == 3
    leaving.on_downstream_lost(FailureKind.CLIENT_GONE)
    assert a.comeback.trials.running == 1 and a.in_flight == 2
    third.answers()
    many.comes()
    play.connect().answers()
    assert many.exchanges[-1].status == 200, "the trial is somebody else's"
