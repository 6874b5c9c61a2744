"""Plans: exchanges are counted and recorded; what can't be read is refused."""

from __future__ import annotations

from posthouse.errors import ProtocolError
from posthouse.net.handler import DownstreamTimeouts
from posthouse.observe.metrics import Metrics
from posthouse.observe.process_log import ONCE_A_MINUTE
from posthouse.protocol.h1 import HeadLimits
from posthouse.proxy.plan import ListenerPlan
from posthouse.proxy.site import LogScope, Site, Sites
from unit.proxy.peers import Client
from unit.proxy.playbook import Lines, Play, Tally
from unit.proxy.samples import OFF, read_head, route


class Counting(Tally):
    """Remembers how often the last exchange was the last."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 0

    def on_last_finished(self) -> None:
        super().on_last_finished()
        self.last += 1


def plan(play: Play, tally: Tally, timeouts: DownstreamTimeouts | None = None) -> ListenerPlan:
    return ListenerPlan(play.plan.sites, HeadLimits(), timeouts or DownstreamTimeouts(), play.world, tally)


def test_exchanges_are_counted_until_they_are_over() -> None:
    play, tally = Play(route("a", base="/api")), Counting()
    made = plan(play, tally)
    head = read_head("GET /other HTTP/1.1\nHost: x")
    clients = [Client(play.world), Client(play.world)]
    for number, client in enumerate(clients, 1):
        client.exchange = made.begin(client, head, play.world.now)
        assert (tally.in_flight, tally.last) == (number, 0)
    for client in clients:
        assert client.exchange is not None
        client.exchange.start(b"", True)
    assert (tally.in_flight, tally.last) == (0, 1)


def test_an_exchange_is_pinned_to_the_plan_it_began_with() -> None:
    play = Play(route("a"))
    exchange = play.request()
    assert exchange.course.plan is play.plan


def test_each_log_of_the_path_gets_one_line() -> None:
    play = Play(route("a"))
    first, second, api = Lines(), Lines(), Lines()
    logs = [
        LogScope("/", Lines.line, first),
        LogScope("/", Lines.line, second),
        LogScope("/api", Lines.line, api),
    ]
    site = Site(play.site.spec, play.routes, logs, play.codec.targets)
    play.plan.sites = Sites([("", "", site)], play.codec.targets)
    play.request("GET /x HTTP/1.1", "Host: x")
    play.connect().answers()
    play.request("GET /api/x HTTP/1.1", "Host: x")
    play.connect().answers("404 Not Found")
    assert (first.lines, second.lines, api.lines) == (["200 a"], ["200 a"], ["404 a"])


def test_without_a_log_the_end_is_not_even_looked_up() -> None:
    play = Play(route("a"))
    site = Site(play.site.spec, play.routes, [], play.codec.targets)
    play.plan.sites = Sites([("", "", site)], play.codec.targets)
    exchange = play.request()
    play.connect().answers()
    assert exchange.finished == 0.0 and exchange.is_finished


def test_refusals_are_counted_where_somebody_can_ask() -> None:
    play = Play(route("a"))
    play.world.metrics = Metrics()
    for status in (400, 431, 400):
        play.plan.refuse(play.client, ProtocolError(status, "test"), False)
    assert play.world.metrics.refused == {400: 2, 431: 1}


def test_refused_peers_are_counted_where_somebody_can_ask() -> None:
    play = Play(route("a"))
    play.plan.refuse_peer("10.0.0.2", "10.0.0.0/8", "before anybody asked")
    play.world.metrics = Metrics()
    for _ in range(2):
        play.plan.refuse_peer("10.0.0.2", "10.0.0.0/8", "no PROXY protocol header within 5 s")
    assert play.world.metrics.refused_peers == 2


def test_a_peer_is_refused_without_an_answer() -> None:
    play = Play(route("a"))
    play.plan.refuse_peer("10.0.0.2", "10.0.0.0/8", "no PROXY protocol header within 5 s")
    [(level, what, fields)] = play.world.log.lines
    assert (level, what, fields.pop("limit")) == ("warn", "peer refused", ONCE_A_MINUTE)
    assert fields == {"reason": "no PROXY protocol header within 5 s", "peer": "10.0.0.2"}


def test_a_refusal_is_logged_and_answered() -> None:
    play = Play(route("a"))
    data = play.plan.refuse(play.client, ProtocolError(400, "bare CR or LF in the head"), False)
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"bare CR" not in data
    assert data.endswith(b"\r\n\r\n400 Bad Request\n")
    assert play.world.log.lines == [
        (
            "info",
            "request refused",
            {"status": 400, "reason": "bare CR or LF in the head", "peer": "192.0.2.7"},
        )
    ]


def test_a_refusal_of_head_has_no_body() -> None:
    play = Play(route("a"))
    data = play.plan.refuse(play.client, ProtocolError(400, "bare CR"), True)
    assert b"\r\nContent-Length: 16\r\n" in data and data.endswith(b"\r\n\r\n")


def test_whether_there_are_totals_is_known_beforehand() -> None:
    play, tally = Play(route("a")), Tally()
    assert not plan(play, tally).has_totals
    assert plan(play, tally, DownstreamTimeouts(read=5.0)).has_totals
    assert plan(play, tally, DownstreamTimeouts(write=5.0)).has_totals
    assert not plan(play, tally, DownstreamTimeouts(read=OFF, write=OFF)).has_totals
