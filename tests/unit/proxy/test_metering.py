"""What an exchange adds to the cell of its route, whatever became of it."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.config.specs import RouteSpec
from posthouse.errors import FailureKind
from posthouse.observe.families import NO_ROUTE, UNKNOWN_SITE
from posthouse.observe.metrics import Metrics
from posthouse.observe.snapshot import Histogram, Sample
from unit.proxy.peers import Client
from unit.proxy.playbook import Play
from unit.proxy.samples import route


def metered(*routes: RouteSpec, **site: Any) -> tuple[Play, Metrics]:
    play = Play(*routes, **site)
    play.world.metrics = Metrics()
    return play, play.world.metrics


def rows(metrics: Metrics, name: str) -> dict[tuple[str, ...], Sample]:
    """Rows of a family that are not 0."""
    return {labels: one for labels, one in metrics.rows().get(f"posthouse_{name}", {}).items() if one}


def test_one_exchange() -> None:
    play, metrics = metered(route("a", base="/api"), at=["x"])
    play.request("POST /api/1 HTTP/1.1", "Host: x", "Content-Length: 3", body=b"abc")
    play.world.now += 0.02
    play.connect().answers("201 Created", body=b"hello")
    key = ("x", "/api")
    assert rows(metrics, "exchanges_total") == {(*key, "POST", "201", ""): 1}
    assert rows(metrics, "request_body_bytes_total") == {key: 3}
    assert rows(metrics, "response_body_bytes_total") == {key: 5}
    assert rows(metrics, "attempts_total") == {(*key, "new"): 1}
    assert rows(metrics, "retries_total") == {}
    durations = metrics.rows()["posthouse_exchange_duration_seconds"][key]
    assert isinstance(durations, Histogram)
    assert durations.total == pytest.approx(0.02) and durations.counts[5] == durations.count == 1
    assert play.over() == ["201 a"], "the log is written too"


def test_a_duration_on_the_bound_of_a_bucket_is_in_it() -> None:
    play, metrics = metered(route("a"), at=["x"])
    play.request()
    play.world.now += 0.5
    play.connect().answers()
    durations = metrics.rows()["posthouse_exchange_duration_seconds"]["x", "/"]
    assert isinstance(durations, Histogram) and durations.counts[9] == 1


def test_a_warm_connection_is_a_reused_one() -> None:
    play, metrics = metered(route("a"), at=["x"])
    connection = play.warm()
    play.request()
    connection.answers()
    assert rows(metrics, "attempts_total") == {("x", "/", "reused"): 1}


def test_methods_nobody_knows_are_one_label() -> None:
    play, metrics = metered(route("a"), at=["x"])
    for method in ("GET", "get", "BREW", "PROPFIND"):
        play.request(f"{method} / HTTP/1.1", "Host: x")
        play.connect().answers()
    assert rows(metrics, "exchanges_total") == {
        ("x", "/", "GET", "200", ""): 1,
        ("x", "/", "other", "200", ""): 3,
    }


def test_hosts_nobody_knows_are_one_label() -> None:
    play, metrics = metered(route("a"), at=["x"])
    for host in ("evil1", "evil2"):
        play.request("GET / HTTP/1.1", f"Host: {host}")
    assert rows(metrics, "exchanges_total") == {(UNKNOWN_SITE, NO_ROUTE, "GET", "404", ""): 2}
    assert rows(metrics, "attempts_total") == {}


def test_what_a_site_answers_without_a_route() -> None:
    play, metrics = metered(route("a", base="/api"), at=["x"])
    play.request("GET /other HTTP/1.1", "Host: x")
    play.request("GET /elsewhere HTTP/1.1", "Host: x")
    assert rows(metrics, "exchanges_total") == {("x", NO_ROUTE, "GET", "404", ""): 2}
    assert play.site.cell is metrics.cell("x", NO_ROUTE)


def test_retries_and_the_failures_before_them() -> None:
    play, metrics = metered(route("a", "b", duration=1.0, interval=0.0, policy="round_robin"), at=["x"])
    play.request()
    first = play.dialled()[0]
    play.refuse(first)
    (second,) = play.dialled()
    play.connect(second).answers()
    assert rows(metrics, "exchanges_total") == {("x", "/", "GET", "200", ""): 1}
    assert rows(metrics, "attempts_total") == {("x", "/", "new"): 2}
    assert rows(metrics, "retries_total") == {("x", "/"): 1}
    assert rows(metrics, "attempt_failures_total") == {("x", "/", "connect"): 1}


def test_a_stale_connection_is_a_retry_but_no_failure() -> None:
    play, metrics = metered(route("a"), at=["x"])
    connection = play.warm()
    play.request()
    connection.breaks()
    play.connect().answers()
    assert rows(metrics, "attempts_total") == {("x", "/", "reused"): 1, ("x", "/", "new"): 1}
    assert rows(metrics, "retries_total") == {("x", "/"): 1}
    assert rows(metrics, "attempt_failures_total") == {}


def test_a_stale_connection_that_ends_the_exchange_is_a_failure() -> None:
    play, metrics = metered(route("a"), at=["x"])
    connection = play.warm()
    play.request("POST / HTTP/1.1", "Host: x", "Content-Length: 3", body=b"one")
    connection.breaks()
    assert rows(metrics, "exchanges_total") == {("x", "/", "POST", "502", "reset"): 1}
    assert rows(metrics, "attempt_failures_total") == {("x", "/", "reset"): 1}


def test_the_failure_that_decided() -> None:
    play, metrics = metered(route("a"), at=["x"])
    play.request()
    play.refuse(kind=FailureKind.CONNECT_TIMEOUT)
    assert rows(metrics, "exchanges_total") == {("x", "/", "GET", "504", "connect_timeout"): 1}
    assert rows(metrics, "attempt_failures_total") == {("x", "/", "connect_timeout"): 1}


def test_nobody_to_ask_is_no_attempt() -> None:
    play, metrics = metered(route("a"), at=["x"])
    play.backend("a").is_up = False
    play.request()
    assert rows(metrics, "exchanges_total") == {("x", "/", "GET", "503", "no_backend"): 1}
    assert rows(metrics, "attempts_total") == rows(metrics, "attempt_failures_total") == {}


def test_who_waits_in_the_queue_is_counted_with_the_wait() -> None:
    play, metrics = metered(route("a", max_conns=1), at=["x"])
    first = play.request()
    connection = play.connect()
    other = Client(play.world)
    other.exchange = play.plan.begin(other, first.head, play.world.now)
    other.exchange.start(b"", True)
    play.world.pass_time(0.5)
    assert rows(metrics, "queue_wait_seconds") == {}
    connection.answers()
    play.world.pass_time(0.0)
    play.connect().answers()
    waits = metrics.rows()["posthouse_queue_wait_seconds"]["x", "/"]
    assert isinstance(waits, Histogram) and waits.count == 1 and waits.total == pytest.approx(0.5)


def test_a_tunnel_has_bytes_and_no_duration() -> None:
    play, metrics = metered(route("a"), at=["x"])
    play.request("GET / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket")
    play.connect().upgrades("Connection: Upgrade", "Upgrade: websocket", rest=b"hello")
    play.world.now += 3600.0
    play.lose_tunnel()
    assert rows(metrics, "exchanges_total") == {("x", "/", "GET", "101", ""): 1}
    assert rows(metrics, "response_body_bytes_total") == {("x", "/"): 5}
    durations = metrics.rows()["posthouse_exchange_duration_seconds"]["x", "/"]
    assert isinstance(durations, Histogram) and durations.count == 0


def test_a_client_that_leaves() -> None:
    play, metrics = metered(route("a"), at=["x"])
    exchange = play.request()
    exchange.on_downstream_lost(FailureKind.CLIENT_GONE)
    assert rows(metrics, "exchanges_total") == {("x", "/", "GET", "499", "client_gone"): 1}


def test_nothing_is_counted_until_somebody_can_ask() -> None:
    play = Play(route("a"), at=["x"])
    play.request()
    play.connect().answers()
    assert play.routes[0].cell is None
