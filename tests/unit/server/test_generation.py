"""Generations: what a configuration becomes, what stays of the one before, and what a mistake leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.certificates import write_authority
from posthouse.adapt import adapt
from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.config.specs import Config, LimitsSpec, TimeoutsSpec
from posthouse.errors import ConfigError, StartError
from posthouse.net.handler import DownstreamTimeouts
from posthouse.protocol.h1 import HeadLimits
from posthouse.proxy.site import Compressions
from posthouse.server.generation import Generation, build, merge_limits, merge_timeouts
from posthouse.server.runtime import Runtime
from posthouse.testing.check_policy import SampleChoice
from unit.proxy.peers import Client
from unit.proxy.samples import OFF, read_head
from unit.proxy.world import World
from unit.server.fakes import Remembering


@pytest.fixture
def runtime(log: Remembering) -> Iterator[Runtime]:
    loop = asyncio.new_event_loop()
    made = Runtime(loop, log)
    try:
        yield made
    finally:
        made.close()
        loop.close()


def config(text: str) -> Config:
    return adapt(text, "Caddyfile", env={}).config


def started(text: str, runtime: Runtime, previous: Generation | None = None) -> Generation:
    made = build(config(text), runtime, previous)
    made.start()
    return made


def site_of(generation: Generation, host: str, path: str = "/", port: int = 80, bind: str = "") -> str | None:
    plan = generation.handler((bind, port))
    found = plan.sites.find(host, generation._runtime.reactor.codec.targets.parse(path.encode()))
    return None if found is None else found[0].address


class WarmConnection:
    """What lies in IdleConnections."""

    def __init__(self, key: object) -> None:
        self.key = key
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def warm(runtime: Runtime, generation: Generation, pool: str, host: int = 0) -> WarmConnection:
    connection: Any = WarmConnection(generation.pools[pool].backends[host])
    assert runtime.idle.release(connection, 9)
    warmed: WarmConnection = connection
    return warmed


# -- steps ---------------------------------------------------------------------------------------------------------


def test_a_site_has_the_steps_that_it_names_and_no_others(runtime: Runtime) -> None:
    generation = started(
        "http://a.test {\n internal /i\n rewrite /a /b\n}\nhttp://b.test {\n proxy / localhost:1\n}\n",
        runtime,
    )
    plan = generation.handler(("", 80))
    target = runtime.reactor.codec.targets.parse(b"/")
    sites = [found[0] for host in ("a.test", "b.test") if (found := plan.sites.find(host, target))]
    assert [[type(step).__name__ for step in site.steps] for site in sites] == [["Rewrite", "Internal"], []]
    assert [site.is_internal for site in sites] == [True, False]


def test_the_mistakes_of_all_sites_are_told_at_once(runtime: Runtime) -> None:
    text = "http://{}.test {{\n basicauth / u htpasswd=/none/at/all\n}}\n"
    with pytest.raises(ConfigError) as raised:
        build(config(text.format("a") + text.format("b")), runtime, None)
    assert [str(one.place) for one in raised.value.mistakes] == ["Caddyfile:2:2", "Caddyfile:5:2"]


# -- building ------------------------------------------------------------------------------------------------------


def test_a_configuration_at_work(runtime: Runtime) -> None:
    generation = started(
        "http://a.test, http://b.test:81/path {\n proxy /api localhost:1\n proxy / localhost:2\n}\n"
        "http://*.test:82 {\n bind 127.0.0.1\n}\n"
        ":80 {\n}\n",
        runtime,
    )
    assert generation.listen == (("", 80), ("", 81), ("127.0.0.1", 82))
    assert site_of(generation, "a.test") == "http://a.test"
    assert site_of(generation, "other") == ":80"
    assert site_of(generation, "b.test", "/path/x", 81) == "http://a.test", (
        "a site's name is its first address"
    )
    assert site_of(generation, "b.test", "/other", 81) is None
    assert site_of(generation, "c.test", port=82, bind="127.0.0.1") == "http://*.test:82"
    assert list(generation.pools) == ["http://a.test /api", "http://a.test /"]
    assert repr(generation) == "<Generation 1 sites=3 in_flight=0>"


def test_nothing_to_serve_is_a_generation_too(runtime: Runtime) -> None:
    generation = build(Config(()), runtime, None)
    assert generation.listen == ()
    generation.retire()


def test_a_site_with_many_addresses_has_one_pool(runtime: Runtime) -> None:
    """v1 made one for each address."""
    generation = started(":81, :82 {\n proxy / localhost:1\n}\n", runtime)
    (pool,) = generation.pools.values()
    routes = []
    for port in (81, 82):
        found = generation.handler(("", port)).sites.find("x", runtime.reactor.codec.targets.parse(b"/"))
        assert found is not None
        routes.append(found[0].find_route("/"))
    first, second = routes
    assert first is not None and first is second
    assert first.pool is pool


def test_paths_of_the_file_are_compared_as_those_of_requests(runtime: Runtime) -> None:
    generation = started(
        ":80 {\n proxy /API//v1/ localhost:1 {\n without /api\n except /Static\n }\n}\n", runtime
    )
    found = generation.handler(("", 80)).sites.find("x", runtime.reactor.codec.targets.parse(b"/"))
    assert found is not None
    route = found[0].find_route("/api/v1/x")
    assert route is not None and route.base_key == "/api/v1/"
    assert found[0].find_route("/api/v1/static/x") is None


def test_case_sensitive_paths(log: Remembering) -> None:
    loop = asyncio.new_event_loop()
    runtime = Runtime(loop, log, is_case_sensitive=True)
    generation = started(":80/Foo {\n}\n", runtime)
    assert site_of(generation, "x", "/Foo") == ":80/Foo" and site_of(generation, "x", "/foo") is None
    loop.close()


def test_gzip_is_found_by_path_and_counts_for_the_whole_worker(runtime: Runtime) -> None:
    text = "http://:80 {\n gzip { not /Raw }\n}\nhttp://:81 {\n}\n"
    generation = started(text, runtime)
    parse = runtime.reactor.codec.targets.parse

    def compressions(of: Generation, port: int) -> Compressions | None:
        found = of.handler(("", port)).sites.find("x", parse(b"/"))
        assert found is not None
        return found[0].compressions

    assert compressions(generation, 81) is None
    first = compressions(generation, 80)
    second = compressions(started(text, runtime, generation), 80)
    assert first is not None and second is not None and first is not second
    assert first.find("/raw/x") is None
    head = read_head("GET / HTTP/1.1\nHost: x\nAccept-Encoding: gzip")
    held = [
        one.begin(head, 200, [], -1)[1] for lines in (first, second) if (one := lines.find("/")) is not None
    ]
    assert len(held) == 2 and repr(runtime.encoders) == "<Encoders 2 of 512>", (
        "a reload is no way past the limit"
    )


def test_exchanges_belong_to_their_generation(runtime: Runtime) -> None:
    generation = started(":80 {\n}\n", runtime)
    client = Client(World())
    exchange = generation.handler(("", 80)).begin(client, read_head("GET / HTTP/1.1\nHost: x"), 0.0)
    client.exchange = exchange
    assert generation.in_flight == 1
    exchange.start(b"", True)
    assert client.answer.status == b"404 Not Found"
    assert generation.in_flight == 0


# -- listeners that several sites share (caddy1.md 8.1, 8.2) -------------------------------------------------------


def limits(**given: int) -> LimitsSpec:
    return LimitsSpec(**given, given=frozenset(given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("of_sites", "size", "fields"),
    [
        ([limits()], 64 * 1024, 128),
        ([limits(header=1000)], 1000, 128),
        ([limits(header=1 << 20), limits()], 1 << 20, 128),
        ([limits(header=3000), limits(header=2000, fields=500), limits(fields=400)], 2000, 400),
    ],
)
def test_of_the_limits_that_sites_set_the_smallest_holds(
    of_sites: list[LimitsSpec], size: int, fields: int
) -> None:
    """A default is not set: a site that says nothing does not lower what another one asked for."""
    assert merge_limits(of_sites) == HeadLimits(size, fields)


def timeouts(**given: float | None) -> TimeoutsSpec:
    return TimeoutsSpec(**given, given=frozenset(given))


@pytest.mark.parametrize(
    ("of_sites", "expected"),
    [
        ([timeouts()], DownstreamTimeouts()),
        ([timeouts(idle=10.0), timeouts()], DownstreamTimeouts(idle=10.0)),
        ([timeouts(idle=900.0), timeouts(idle=600.0)], DownstreamTimeouts(idle=600.0)),
        ([timeouts(idle=None), timeouts()], DownstreamTimeouts(idle=OFF)),
        ([timeouts(idle=None), timeouts(idle=600.0)], DownstreamTimeouts(idle=600.0)),
        (
            [timeouts(header=1.0, body=2.0, idle=3.0, read=4.0), timeouts(write=5.0, read=None)],
            DownstreamTimeouts(1.0, 2.0, 3.0, 4.0, 5.0),
        ),
    ],
)
def test_of_the_timeouts_that_sites_set_the_smallest_holds(
    of_sites: list[TimeoutsSpec], expected: DownstreamTimeouts
) -> None:
    assert merge_timeouts(of_sites) == expected


def test_only_sites_of_the_same_listener_share(runtime: Runtime) -> None:
    generation = started(
        "http://a.test {\n limits {\n  header 4KB\n }\n timeouts {\n  idle 1m\n }\n}\n"
        "http://b.test {\n limits {\n  header 2KB\n }\n}\n"
        "http://c.test:81 {\n timeouts {\n  read 9s\n }\n}\n",
        runtime,
    )
    first, second = generation.handler(("", 80)), generation.handler(("", 81))
    assert first.limits == HeadLimits(2048) and first.timeouts == DownstreamTimeouts(idle=60.0)
    assert second.limits == HeadLimits() and second.timeouts == DownstreamTimeouts(read=9.0)
    assert not first.has_totals and second.has_totals


def test_who_introduces_clients_and_what_the_sockets_do(runtime: Runtime) -> None:
    generation = started(
        "http://a.test {\n proxy_protocol 10.0.0.0/8\n tcp { nodelay off }\n}\n"
        "http://b.test {\n proxy_protocol 10.0.0.0/8\n}\n"
        "http://c.test:81 {\n}\n",
        runtime,
    )
    first, second = generation.handler(("", 80)), generation.handler(("", 81))
    assert (first.introducers.find("10.1.2.3"), first.introducers.find("11.1.2.3")) == ("10.0.0.0/8", "")
    assert second.introducers is None
    assert not first.has_nodelay and second.has_nodelay


# -- what stays ----------------------------------------------------------------------------------------------------

ONE = ":80 {\n proxy / localhost:1 localhost:2 {\n  fail_timeout 10s\n }\n}\n"


def test_the_state_of_a_backend_survives(runtime: Runtime) -> None:
    first = started(ONE, runtime)
    old = first.pools[":80 /"]
    old.acquire(old.backends[0])
    old.fail(old.backends[1], 100.0)
    second = started(ONE, runtime, first)
    new = second.pools[":80 /"]
    assert second.number == 2
    assert new is not old and new.backends == old.backends
    assert new.backends[0].in_flight == 1
    assert new.backends[1].is_marked(101.0)
    old.release(old.backends[0])
    assert new.backends[0].in_flight == 0, "whoever began before gives back to the same"


def test_a_backend_that_moves_within_its_pool_stays_the_same(runtime: Runtime) -> None:
    first = started(ONE, runtime)
    second = started(":80 {\n proxy / localhost:3 localhost:2\n}\n", runtime, first)
    assert second.pools[":80 /"].backends[1] is first.pools[":80 /"].backends[1]


def test_new_settings_hold_from_the_start_on_and_not_before(runtime: Runtime) -> None:
    first = started(":80 {\n proxy / localhost:1\n}\n", runtime)
    (backend,) = first.pools[":80 /"].backends
    second = build(config(":80 {\n proxy / localhost:1 {\n  max_conns 3\n }\n}\n"), runtime, first)
    assert backend.max_conns == 0
    second.start()
    assert backend.max_conns == 3


def test_warm_connections_of_backends_that_are_gone_are_closed(runtime: Runtime) -> None:
    first = started(ONE, runtime)
    gone, kept = warm(runtime, first, ":80 /", 0), warm(runtime, first, ":80 /", 1)
    second = started(":80 {\n proxy / localhost:2 localhost:3\n}\n", runtime, first)
    assert not gone.is_closed, "as long as the old one serves"
    first.retire(second)
    assert gone.is_closed and not kept.is_closed
    assert len(runtime.idle) == 1
    runtime.idle.forget(kept)


# -- TLS -----------------------------------------------------------------------------------------------------------

OVER_TLS = ":80 {\n proxy / https://localhost:1 localhost:2 {\n ca_certificates CA\n }\n}\n"


def test_warm_connections_of_another_identity_are_closed(runtime: Runtime, tmp_path: Path) -> None:
    """The backend stays, with its state; what was verified by other rules does not."""
    text = OVER_TLS.replace("CA", write_authority(tmp_path))
    first = started(text, runtime)
    pool = first.pools[":80 /"]
    secure, plain = (WarmConnection(lane) for lane in pool.lanes())
    for connection in (secure, plain):
        assert runtime.idle.release(connection, 9)  # type: ignore[arg-type]
    second = started(text, runtime, first)
    first.retire(second)
    assert not secure.is_closed, "equal settings, equal files"
    third = started(OVER_TLS.replace("ca_certificates CA", "insecure_skip_verify"), runtime, second)
    assert third.pools[":80 /"].backends == pool.backends
    second.retire(third)
    assert secure.is_closed and not plain.is_closed
    runtime.idle.forget(plain)


TWICE = ":80 {\n proxy / a {\n ca_certificates nowhere\n }\n proxy /b b {\n tls_client c d\n }\n}\n"


def test_files_are_judged_also_where_no_backend_needs_them(runtime: Runtime) -> None:
    with pytest.raises(ConfigError) as raised:
        build(
            config(
                ":80 {\n proxy / a {\n ca_certificates nowhere\n }\n proxy /b b {\n tls_client c d\n }\n}\n"
            ),
            runtime,
            None,
        )
    assert [(one.place.line, one.place.column) for one in raised.value.mistakes] == [
        (3, 18),
        (6, 13),
        (6, 15),
    ]


def test_a_pool_without_tls_reads_nothing(runtime: Runtime) -> None:
    assert started(ONE, runtime).pools[":80 /"].tls is None
    assert not runtime.identities._known


# -- health checks -------------------------------------------------------------------------------------------------

CHECKED = ":80 {\n proxy / 127.0.0.1:1 127.0.0.1:2 {\n  health_check /h\n }\n}\n"


def test_only_what_serves_is_checked(runtime: Runtime) -> None:
    made = build(config(CHECKED), runtime, None)
    assert len(runtime.probes) == 0
    made.retire()
    assert len(runtime.probes) == 0
    first = started(CHECKED, runtime)
    assert len(runtime.probes) == 2
    with pytest.raises(ConfigError):
        build(config(":80 {\n proxy / a b c {\n  policy oops\n  health_check /h\n }\n}\n"), runtime, first)
    assert len(runtime.probes) == 2
    started(":80 {\n proxy / 127.0.0.1:1\n}\n", runtime, first)
    assert len(runtime.probes) == 0


def test_what_checks_found_survives(runtime: Runtime) -> None:
    first = started(CHECKED, runtime)
    backend = first.pools[":80 /"].backends[0]
    backend.believe(State.DOWN, "status 503", 5.0)
    second = started(CHECKED.replace("127.0.0.1:2", "127.0.0.1:3"), runtime, first)
    assert second.pools[":80 /"].backends[0] is backend
    assert (backend.state, backend.reason, backend.since) == (State.DOWN, "status 503", 5.0)


# -- logs ----------------------------------------------------------------------------------------------------------


def logging(*paths: Path) -> str:
    lines = "".join(f" log / {path} json\n" for path in paths)
    return f":80 {{\n{lines}}}\n"


def test_logs_are_closed_when_the_last_exchange_is_over(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    generation = started(logging(path), runtime)
    client = Client(World())
    head = read_head("GET /x HTTP/1.1\nHost: x")
    exchange = client.exchange = generation.handler(("", 80)).begin(client, head, runtime.clock())
    generation.retire()
    assert [key.output for key in runtime.logs._held] == [str(path)], "it still writes"
    exchange.start(b"", True)
    assert runtime.logs._held == {}
    assert '"uri":"/x"' in path.read_text()
    generation.retire()
    generation.on_last_finished()
    assert runtime.logs._held == {}, "given back once"


def test_a_generation_that_serves_keeps_its_logs_between_requests(runtime: Runtime, tmp_path: Path) -> None:
    generation = started(logging(tmp_path / "a.log"), runtime)
    generation.on_last_finished()
    assert len(runtime.logs._held) == 1
    generation.retire()


def test_a_log_that_stays_is_one_file_for_both(runtime: Runtime, tmp_path: Path) -> None:
    first = started(logging(tmp_path / "a.log", tmp_path / "b.log"), runtime)
    ((log, _), _) = runtime.logs._held.values()
    second = started(logging(tmp_path / "a.log"), runtime, first)
    first.retire(second)
    assert list(runtime.logs._held.values()) == [(log, 1)]
    second.retire()
    assert runtime.logs._held == {}


def test_two_logs_of_a_site_in_one_file(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    generation = started(logging(path, path), runtime)
    assert [users for _, users in runtime.logs._held.values()] == [2]
    generation.retire()
    assert runtime.logs._held == {}


def test_the_last_exchange_may_end_after_the_runtime_was_closed(runtime: Runtime, tmp_path: Path) -> None:
    first = started(logging(tmp_path / "a.log"), runtime)
    client = Client(World())
    exchange = client.exchange = first.handler(("", 80)).begin(
        client, read_head("GET / HTTP/1.1\nHost: x"), 0.0
    )
    first.retire()
    runtime.close()
    exchange.start(b"", True)


# -- mistakes ------------------------------------------------------------------------------------------------------

WRONG = (
    ":80 {\n log / %s\n proxy / localhost:1 localhost:2 {\n  policy round_robbin\n }\n proxy /x localhost:1 {\n"
    "  policy random extra\n }\n}\n:81 {\n proxy / localhost:1 {\n  policy leastconn\n  max_conns 3\n }\n}\n"
)


def test_all_mistakes_of_all_sites_are_told_with_their_places(runtime: Runtime, tmp_path: Path) -> None:
    wrong = config(WRONG % (tmp_path / "a.log"))
    with pytest.raises(ConfigError) as caught:
        build(wrong, runtime, None)
    mistakes = caught.value.mistakes
    assert [mistake.place.line for mistake in mistakes] == [4, 7, 12]
    assert "round_robin" in mistakes[0].hint and "least_conn" in mistakes[2].hint
    assert runtime.logs._held == {}, "what was opened is closed"
    assert len(runtime.idle) == 0


def test_a_mistake_changes_nothing_of_what_serves(runtime: Runtime, tmp_path: Path) -> None:
    text = ":80 {\n log / %s\n proxy / localhost:1 localhost:2\n}\n:81 {\n proxy / localhost:1\n}\n"
    first = started(text % (tmp_path / "a.log"), runtime)
    kept = warm(runtime, first, ":80 /")
    logs = dict(runtime.logs._held)
    pools = dict(first.pools)
    wrong = config(WRONG % (tmp_path / "a.log"))
    with pytest.raises(ConfigError):
        build(wrong, runtime, first)
    assert runtime.logs._held == logs
    assert first.pools == pools
    assert [backend.max_conns for pool in pools.values() for backend in pool.backends] == [0, 0, 0]
    assert not kept.is_closed and len(runtime.idle) == 1
    runtime.idle.forget(kept)  # type: ignore[arg-type]
    third = started(text % (tmp_path / "a.log"), runtime, first)
    assert third.number == 2, "a number is taken by what serves"
    first.retire(third)
    third.retire()
    assert runtime.logs._held == {}


def test_a_log_that_can_not_be_opened(runtime: Runtime, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such" / "folder.log"
    with pytest.raises(StartError) as caught:
        build(config(logging(tmp_path / "a.log", missing)), runtime, None)
    text = str(caught.value)
    assert text.startswith("Caddyfile:3:") and str(missing) in text and "\n" not in text
    assert runtime.logs._held == {}, "the first one is closed again"


def test_what_was_built_and_never_served_leaves_nothing(runtime: Runtime, tmp_path: Path) -> None:
    """A port was taken, so the generation is thrown away."""
    first = started(logging(tmp_path / "a.log"), runtime)
    build(config(logging(tmp_path / "a.log", tmp_path / "b.log")), runtime, first).retire()
    assert [users for _, users in runtime.logs._held.values()] == [1]
    first.retire()


# -- rotation, errors, what is captured ----------------------------------------------------------------------------


def test_one_file_has_one_rotation(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    text = (
        f":80 {{\n log {path} {{\n  rotate_size 5\n }}\n errors {path}\n}}\n"
        f":81 {{\n log / {tmp_path}/./a.log {{\n  rotate_size 6\n }}\n}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        build(config(text), runtime, None)
    (mistake,) = caught.value.mistakes
    assert str(mistake.place) == "Caddyfile:9:3"
    assert mistake.message == (
        f"`{tmp_path}/./a.log` is rotated in another way at Caddyfile:3:3: one file has one rotation"
    )
    assert runtime.logs._held == {}
    started(text.replace("rotate_size 6", "rotate_size 5"), runtime).retire()


def test_a_rotation_is_changed_by_what_serves_and_by_nothing_else(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    first = started(f":80 {{\n log {path}\n}}\n", runtime)
    (output,) = runtime.logs._outputs.values()
    assert output.rotator is not None and output.rotator.rotation.size == 100 << 20
    second = build(config(f":80 {{\n log {path} {{\n  rotate_size 5\n }}\n}}\n"), runtime, first)
    assert output.rotator.rotation.size == 100 << 20
    second.start()
    assert output.rotator.rotation.size == 5 << 20
    first.retire(second)
    second.retire()


def test_errors_have_their_log_and_pages(runtime: Runtime, log: Remembering, tmp_path: Path) -> None:
    (tmp_path / "404.html").write_bytes(b"lost")
    path = tmp_path / "errors.log"
    text = f":80 {{\n errors {path} {{\n  404 {tmp_path}/404.html\n  502 {tmp_path}/no.html\n }}\n}}\n"
    generation = started(text, runtime)
    client = Client(World())
    exchange = client.exchange = generation.handler(("", 80)).begin(
        client, read_head("GET /x HTTP/1.1\nHost: x"), runtime.clock()
    )
    exchange.answer(404, cause="nothing there")
    assert client.answer.body == b"lost"
    generation.retire()
    assert path.read_bytes().endswith(b" [ERROR 404 /x] nothing there\n")
    (line,) = log.of("error page missing")
    assert line["page"] == f"{tmp_path}/no.html"


@pytest.mark.parametrize(
    ("directive", "is_kept"),
    [
        ("log / /dev/null {request_body}", True),
        ("header / X-A {request_body}", True),
        ("proxy / a { header_upstream X-A {request_body} }", True),
        ("proxy / a { header_downstream X-A {request_body} }", True),
        ("log / /dev/null {request}", False),
        ("proxy / a", False),
    ],
)
def test_bodies_are_captured_where_a_template_asks_for_them(
    runtime: Runtime, directive: str, is_kept: bool
) -> None:
    generation = started(f":80 {{\n {directive}\n}}\n", runtime)
    found = generation.handler(("", 80)).sites.find("x", runtime.reactor.codec.targets.judge(b"/"))
    assert found is not None
    assert found[0].keeps_body is is_kept
    generation.retire()


def test_a_log_with_a_mask_and_paths_it_leaves_out(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    text = f":80 {{\n log / {path} {{remote}} {{\n  ipmask 255.0.0.0\n  except /Health\n }}\n}}\n"
    generation = started(text, runtime)
    for target in ("/x", "/health/y", "/z"):
        client = Client(World())
        head = read_head(f"GET {target} HTTP/1.1\nHost: x")
        exchange = client.exchange = generation.handler(("", 80)).begin(client, head, runtime.clock())
        exchange.start(b"", True)
    generation.retire()
    masked = ".".join([client.peer.split(".")[0], "0", "0", "0"])
    assert path.read_text() == f"{masked}\n{masked}\n"


# -- sticky sessions -----------------------------------------------------------------------------------------------


def id_of(generation: Generation, pool: str = "http://:80 /") -> bytes:
    sessions = generation.pools[pool].sessions
    assert sessions is not None
    return next(iter(sessions._by_id), b"")


def test_the_key_comes_with_service_not_with_building(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    text = "http://:80\nproxy / a b { policy sticky }"
    built = build(config(text), runtime, None)
    assert id_of(built) == b"" and list(tmp_path.iterdir()) == [], "a configuration may be built to be judged"
    built.start()
    first = id_of(built)
    assert first and (tmp_path / "posthouse" / "sticky.key").exists()
    (tmp_path / "posthouse" / "sticky.key").unlink()
    assert id_of(started(text, runtime, built)) == first, "the process keeps it, whatever happens to the file"


def test_without_a_place_for_the_key_there_is_one_and_a_warning(
    runtime: Runtime, log: Remembering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "posthouse").write_text("in the way")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    text = "http://:80\nproxy / a b { policy sticky }"
    one = started(text, runtime)
    assert id_of(one) == id_of(started(text, runtime, one)) != b""
    assert len(log.of("session key not kept: sticky sessions end with us")) == 1


def test_a_secret_is_read_when_it_is_built(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("secret\n")
    text = f"http://:80\nproxy / a b {{\n policy sticky secret={tmp_path}/s\n}}"
    one = build(config(text), runtime, None)
    assert id_of(one)
    (tmp_path / "s").unlink()
    with pytest.raises(ConfigError) as caught:
        build(config(text), runtime, one)
    [mistake] = caught.value.mistakes
    assert str(mistake.place) == "Caddyfile:3:9" and "cannot read the secret" in mistake.message


# -- what an altered site carries over -----------------------------------------------------------------------------

CARRIED = """:80 {
    header / X-A VALUE
    proxy / 127.0.0.1:1 127.0.0.1:2 127.0.0.1:3 {
        fail_timeout 1h
        max_ejected 50%
        slow_start 1m
        breaker min=2 open=1h
    }
}
"""


def test_an_altered_site_carries_failures_breakers_ejections_and_slow_starts(runtime: Runtime) -> None:
    now = 1000.0
    runtime.clock = lambda: now
    first = started(CARRIED.replace("VALUE", "1"), runtime)
    pool = first.pools[":80 /"]
    broken, barred, cold = pool.backends
    for _ in range(2):
        pool.fail(broken, now, "refused")
    pool.fail(barred, now, "refused")
    cold.believe(State.DOWN, "status 500", now)
    cold.believe(State.UP, "status 200", now)
    pool.acquire(cold)
    pool.select(SampleChoice(1), now)

    def seen(backend: Backend) -> tuple[object, ...]:
        breaker = backend.comeback.breaker
        assert breaker is not None
        belief = (backend.state, backend.reason, backend.since, backend.in_flight, backend.warmth)
        return (backend.failures(now), breaker.phase, breaker.until, backend.is_usable, *belief)

    before = [seen(backend) for backend in pool.backends]
    assert before[0][:2] == (2, Phase.OPEN) and not before[0][3]
    assert before[1][0] == 1
    assert before[2][7:] == (1, cold.warmth) and cold.warmth < 1.0
    second = started(CARRIED.replace("VALUE", "2"), runtime, first)
    first.retire(second)
    after = second.pools[":80 /"]
    assert after is not pool and after.backends == pool.backends
    assert [seen(backend) for backend in after.backends] == before
    assert after.budget is pool.budget
    assert after.select(SampleChoice(1), now) is not broken
    after.release(cold)
