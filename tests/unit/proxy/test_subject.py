"""What logs, placeholders and policies may ask of an exchange."""

from __future__ import annotations

import pytest

from posthouse.balance.policy import Choice
from posthouse.config.specs import RequestIdSpec
from posthouse.observe.record import Subject
from posthouse.proxy.exchange import Exchange
from unit.proxy.playbook import Play
from unit.proxy.samples import endpoint, route


def as_asked(exchange: Exchange) -> tuple[Subject, Choice]:
    """The type checker's proof that an exchange is what logs and policies ask."""
    return exchange, exchange


def test_the_request() -> None:
    play = Play(route("a"), at=("x.test/site",), request_id=RequestIdSpec())
    exchange = play.request(
        "PURGE /site/p%20q?a=1 HTTP/1.0", "Host: X.Test:8080", "X-A: 1", "x-a:2", "Cookie: a=1", "Cookie: b=2"
    )
    assert (exchange.method, exchange.target, exchange.version) == (b"PURGE", b"/site/p%20q?a=1", b"HTTP/1.0")
    assert exchange.rewrite_target == b"/p%20q?a=1"
    assert (exchange.host, exchange.scheme, exchange.site) == ("X.Test:8080", "http", "x.test/site")
    assert (exchange.peer, exchange.peer_port, exchange.client_ip) == ("192.0.2.7", 50123, "192.0.2.7")
    assert exchange.field(b"x-a") == b"1,2"
    assert exchange.field(b"cookie") == b"a=1; b=2"
    assert exchange.field(b"host") == b"X.Test:8080"
    assert exchange.field(b"nothing") is None
    assert len(exchange.request_id) == 36 and exchange.user == "" and exchange.queue_ms == 0
    assert exchange.request_head() == (
        b"PURGE /site/p%20q?a=1 HTTP/1.0\r\nHost: X.Test:8080\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCookie: b=2\r\n"
    )


def test_without_a_site() -> None:
    play = Play(route("a"), at=("x",))
    exchange = play.request("GET /p?q HTTP/1.1", "Host: other")
    assert (exchange.site, exchange.request_id, exchange.upstream) == ("", "", None)
    assert exchange.rewrite_target == b"/p?q"
    assert exchange.client_ip == "192.0.2.7" and not exchange.is_peer_trusted


def test_the_client_behind_trusted_peers() -> None:
    play = Play(route("a"), trusted_proxies=("192.0.2.0/24",))
    exchange = play.request(
        "GET / HTTP/1.1", "Host: x", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.1.1.1, 192.0.2.9"
    )
    assert exchange.is_peer_trusted and exchange.client_ip == "1.1.1.1"
    assert exchange.peer == "192.0.2.7", "hashing goes by the peer"


def test_the_response() -> None:
    play = Play(route("a"))
    exchange = play.request()
    assert (exchange.status, exchange.size, exchange.response_field(b"x-a")) == (0, 0, None)
    backend = play.connect()
    backend.answers("201 Created", "X-A: 1", "x-a: 2", body=b"four", more=True)
    assert (exchange.status, exchange.size) == (201, 4)
    assert exchange.response_field(b"x-a") == b"1,2" and exchange.response_field(b"x-b") is None
    backend.sends(b"+")
    assert exchange.size == 5
    backend.ends()
    assert exchange.is_success and exchange.failure is None


def test_attempts_and_who_was_tried_last() -> None:
    to = endpoint("a", credentials="me:secret")
    play = Play(route(to, "b", duration=9.0))
    exchange = play.request()
    assert (exchange.attempts, exchange.upstream, exchange.failure) == (1, "http://a", None)
    play.refuse("a")
    assert (exchange.attempts, exchange.upstream, exchange.failure) == (2, "http://b", "connect")
    play.connect("b").answers()
    assert (exchange.attempts, exchange.upstream, exchange.failure) == (2, "http://b", None)


def test_the_failure_that_decided() -> None:
    play = Play(route("a"))
    exchange = play.request()
    play.refuse("a")
    assert (exchange.status, exchange.failure, exchange.upstream) == (502, "connect", "http://a")
    assert exchange.size == len(b"502 Bad Gateway\n") and not exchange.is_success


def test_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is asked once, afterwards: a clock that is set meanwhile does not touch durations."""
    monkeypatch.setattr("time.time", lambda: 5000.0)
    play = Play(route("a"))
    exchange = play.request()
    play.world.pass_time(2.5)
    assert exchange.wall == 4997.5
    assert exchange.started == 1000.0 and exchange.finished == 0.0
    play.connect().answers()
    assert exchange.finished == 1002.5


def test_repr() -> None:
    play = Play(route("a"))
    exchange = play.request("GET /p?q HTTP/1.1", "Host: x")
    assert repr(exchange) == "<Exchange GET /p?q status=0 attempts=1 <Backend http://a up in_flight=1>>"


def test_an_exchange_has_no_dictionary() -> None:
    assert not hasattr(Play(route("a")).request(), "__dict__")


@pytest.mark.parametrize(
    ("scheme", "claimed", "is_trusted", "is_secure"),
    [
        ("http", "", True, False),
        ("https", "", False, True),
        ("https", "http", True, True),
        ("http", "https", False, False),
        ("http", "https", True, True),
        ("http", " HTTPS , http", True, True),
        ("http", "http, https", True, False),
    ],
)
def test_how_the_client_came(scheme: str, claimed: str, is_trusted: bool, is_secure: bool) -> None:
    play = Play(route("a"), trusted_proxies=("192.0.2.0/24",) if is_trusted else ())
    play.client.scheme = scheme
    lines = (f"X-Forwarded-Proto: {claimed}",) if claimed else ()
    assert play.request("GET / HTTP/1.1", "Host: x", *lines).is_secure is is_secure
