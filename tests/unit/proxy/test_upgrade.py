"""Upgrades: who may leave HTTP, with which words, and what becomes of both connections."""

from __future__ import annotations

import pytest

from posthouse.config.specs import HeaderScopeSpec
from posthouse.proxy import upgrade
from unit.proxy.peers import Connection
from unit.proxy.playbook import Play
from unit.proxy.samples import read_head, read_response, route, rules

ASKS = ("GET /chat HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: k")
ANSWERS = ("Connection: upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Accept: v")


def joined(play: Play, rest: bytes = b"") -> Connection:
    """A tunnel comes about."""
    play.request(*ASKS)
    backend = play.connect()
    assert backend.fields[-2:] == [b"Upgrade: websocket", b"Connection: Upgrade"]
    backend.upgrades(*ANSWERS, rest=rest)
    assert play.client.is_tunnel
    return backend


def test_a_tunnel_from_end_to_end() -> None:
    play = Play(route("a", max_conns=1))
    backend = joined(play, rest=b"hello")
    head, _, rest = play.client.wire.data.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 101 Switching Protocols",
        b"Sec-WebSocket-Accept: v",
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
        b"Connection: Upgrade",
        b"Upgrade: WebSocket",
    ]
    assert rest == b"hello"
    play.client.wire.protocol.data_received(b"ping")
    assert backend.wire.data == b"ping"
    assert play.held() == {"a": 1}, "a tunnel takes its place"
    assert play.recorded.lines == []
    play.lose_tunnel()
    assert play.over() == ["101 a"]


def test_the_bytes_to_the_client_are_what_is_logged() -> None:
    play = Play(route("a"))
    backend = joined(play, rest=b"12")
    exchange = backend.exchange
    assert exchange is not None
    backend.wire.protocol.data_received(b"345")
    play.lose_tunnel()
    assert exchange.size == 5


def test_what_the_client_sent_early_goes_first() -> None:
    play = Play(route("a"))
    play.client.early = b"early"
    backend = joined(play)
    play.client.wire.protocol.data_received(b", late")
    assert backend.wire.data == b"early, late"


def test_rules_for_responses_act_on_the_101() -> None:
    play = Play(
        route("a", header_downstream=rules("X-A 1", "-Sec-WebSocket-Accept")),
        headers=(HeaderScopeSpec("/chat", rules("X-B {status}", "Upgrade evil", "-Connection")),),
    )
    joined(play)
    lines = play.client.wire.data.split(b"\r\n")
    assert b"X-A: 1" in lines and b"X-B: 101" in lines
    assert not any(line.startswith(b"Sec-WebSocket-Accept") for line in lines)
    assert lines[-4:] == [b"Connection: Upgrade", b"Upgrade: WebSocket", b"", b""]


def test_a_tunnel_has_no_timer_but_its_own() -> None:
    play = Play(route("a", exchange=5.0, tunnel=60.0))
    joined(play)
    assert play.world.live_timers() == []
    play.world.pass_time(59.0)
    assert play.recorded.lines == []
    play.world.pass_time(1.0)
    assert play.recorded.lines == ["101 a"]
    assert play.held() == {}
    play.lose_tunnel()
    assert play.over() == ["101 a"], "once"


def test_a_tunnel_without_a_limit() -> None:
    play = Play(route("a", tunnel=None))
    joined(play)
    play.world.pass_time(1e9)
    assert play.recorded.lines == []


@pytest.mark.parametrize(
    "lines",
    [
        ("GET / HTTP/1.1", "Host: x"),
        ("GET / HTTP/1.1", "Host: x", "Upgrade: websocket"),
        ("POST / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket"),
        ("GET / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: h2c"),
    ],
)
def test_a_101_that_was_not_asked_for_is_broken(lines: tuple[str, ...]) -> None:
    play = Play(route("a", fail_timeout=9.0))
    play.request(*lines)
    backend = play.connect()
    backend.upgrades(*ANSWERS, rest=b"POISON")
    assert backend.state == "closed"
    assert play.client.answer.status == b"502 Bad Gateway"
    assert play.client.wire.data == b""
    assert play.backends[0].is_marked(play.world.now)
    assert play.over() == ["502 a malformed"]


@pytest.mark.parametrize("protocol", ["other", "websocket, other", "h2c", ""])
def test_a_101_for_another_protocol_is_broken(protocol: str) -> None:
    play = Play(route("a"))
    play.request(*ASKS)
    backend = play.connect()
    backend.upgrades("Connection: Upgrade", f"Upgrade: {protocol}")
    assert backend.state == "closed"
    assert play.over() == ["502 a malformed"]


def test_any_other_answer_is_an_ordinary_one() -> None:
    play = Play(route("a"))
    play.request(*ASKS)
    play.connect().answers("426 Upgrade Required", body=b"no")
    assert play.client.answer.body == b"no" and not play.client.is_tunnel
    assert play.over() == ["426 a"]


def test_a_client_that_leaves_before_the_101() -> None:
    play = Play(route("a"))
    play.request(*ASKS)
    backend = play.connect()
    play.client.leaves()
    assert backend.state == "closed"
    assert play.over() == ["499 a client_gone"]


@pytest.mark.parametrize(
    ("asked", "answered", "is_good"),
    [
        ("websocket", "websocket", True),
        ("WebSocket", "websocket", True),
        ("a, b", "b", True),
        ("a, b", "b, a", True),
        ("a", "b", False),
        ("a", "a, b", False),
        ("a", ",", False),
        ("h2c, a", "h2c", False),
        ("h2c, a", "a", True),
    ],
)
def test_what_answers_what(asked: str, answered: str, is_good: bool) -> None:
    head = read_head(f"GET / HTTP/1.1\nHost: x\nConnection: upgrade\nUpgrade: {asked}")
    response = read_response("101 Switching Protocols", "Connection: upgrade", f"Upgrade: {answered}")
    assert upgrade.is_wanted(head)
    assert upgrade.is_answered(head, response) is is_good


def test_a_101_without_connection_upgrade_answers_nothing() -> None:
    head = read_head("GET / HTTP/1.1\nHost: x\nConnection: upgrade\nUpgrade: a")
    assert not upgrade.is_answered(head, read_response("101 Switching Protocols", "Upgrade: a"))
