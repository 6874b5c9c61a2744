from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import (
    HeaderRule,
    PassiveSpec,
    PolicySpec,
    RetrySpec,
    RouteSpec,
    SiteSpec,
    TLSSpec,
    UpstreamTCPSpec,
    UpstreamTimeouts,
)
from posthouse.config.units import NO_LIMIT
from posthouse.directives.proxy import PROPERTIES

ReadSite = Callable[[str], SiteSpec]
FindMistakes = Callable[[str], list[str]]


@pytest.fixture
def read_route(read_site: ReadSite) -> Callable[[str], RouteSpec]:
    """Properties -> the route of `proxy /api backend:81` with them."""

    def read(properties: str) -> RouteSpec:
        (route,) = read_site(f"proxy /api backend:81 {{\n{properties}\n}}").routes
        return route

    return read


ReadRoute = Callable[[str], RouteSpec]


# --- FROM and TO -----------------------------------------------------------------------------------------


def test_one_backend_and_every_default(read_site: ReadSite) -> None:
    (route,) = read_site("proxy /api localhost:9005").routes
    assert (route.base, route.pool.name) == ("/api", "localhost /api")
    assert [one.text for one in route.pool.endpoints] == ["http://localhost:9005"]
    assert route.pool.policy == PolicySpec("random")
    assert route.pool.passive == PassiveSpec(0.0, 1)
    assert route.pool.retry == RetrySpec(0.0, 0.25, 1 << 20)
    assert route.pool.timeouts == UpstreamTimeouts(30.0, 300.0, 300.0, 3600.0, None, 0.3)
    assert (route.pool.max_conns, route.pool.keepalive) == (0, 64)
    assert (route.excepts, route.without, route.is_transparent) == ((), "", False)
    assert (route.place.line, route.place.column) == (2, 1)


def test_backends_of_the_line_come_before_those_of_upstream_lines(read_site: ReadSite) -> None:
    (route,) = read_site("proxy / a b:1-2 {\nupstream c\nupstream unix:/d\n}").routes
    texts = [one.text for one in route.pool.endpoints]
    assert texts == ["http://a", "http://b:1", "http://b:2", "http://c", "unix:/d"]
    (route,) = read_site("proxy / { upstream c upstream c }").routes
    assert [one.text for one in route.pool.endpoints] == ["http://c", "http://c"]


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("proxy", ["1:1 too few arguments for `proxy`: found none, expected at least 1 argument"]),
        ("proxy /", ["1:1 `proxy` has no backend"]),
        ("proxy / {\n}", ["1:1 `proxy` has no backend"]),
        ("proxy api a", ["1:7 FROM must begin with `/`, found `api`: it would never match"]),
        ('proxy "" a', ['1:7 FROM must begin with `/`, found `""`: it would never match']),
        (
            "proxy / ftp://a ws://b {\nupstream srv://c:1\n}",
            [
                "1:9 `ftp://` is not a scheme that backends are reached by",
                "1:17 `ws://` is not a backend's scheme",
                "2:10 `srv://c:1` has a port, but ports come from the SRV records",
            ],
        ),
    ],
)
def test_mistakes_of_the_line(find_mistakes: FindMistakes, text: str, mistakes: list[str]) -> None:
    assert find_mistakes(text) == mistakes


# --- properties ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("policy round_robin", PolicySpec("round_robin")),
        ("policy header X-My-Header", PolicySpec("header", ("X-My-Header",))),
        ("policy query user", PolicySpec("query", ("user",))),
        ('policy cookie "name"', PolicySpec("cookie", ("name",))),
        ("policy first\npolicy least_conn", PolicySpec("least_conn")),
        ("policy no_such x y", PolicySpec("no_such", ("x", "y"))),
    ],
)
def test_policy(read_route: ReadRoute, text: str, policy: PolicySpec) -> None:
    assert read_route(text).pool.policy == policy


@pytest.mark.parametrize(
    ("text", "passive"),
    [
        ("fail_timeout 10s", PassiveSpec(10.0, 1)),
        ("fail_timeout -1s", PassiveSpec(0.0, 1)),
        ("fail_timeout off", PassiveSpec(0.0, 1)),
        ("max_fails 3", PassiveSpec(0.0, 3)),
        ("max_fails 3\nfail_timeout 1m\nmax_fails 4", PassiveSpec(60.0, 4)),
    ],
)
def test_passive_health(read_route: ReadRoute, text: str, passive: PassiveSpec) -> None:
    assert read_route(text).pool.passive == passive


def test_tls(read_route: ReadRoute) -> None:
    tls = read_route("ca_certificates old.pem\nca_certificates a.pem b.pem\ntls_client cert key").pool.tls
    assert [file.path for file in tls.ca_certificates] == ["a.pem", "b.pem"], "a later line replaces"
    assert [file.path for file in tls.client] == ["cert", "key"]
    assert tls.client[1].place.column == 17
    assert not tls.insecure_skip_verify
    assert read_route("insecure_skip_verify").pool.tls == TLSSpec(insecure_skip_verify=True)
    assert read_route("transparent").pool.tls == TLSSpec()


@pytest.mark.parametrize(
    "lines", [["insecure_skip_verify", "ca_certificates a"], ["ca_certificates a", "insecure_skip_verify"]]
)
def test_verifying_and_not_verifying_contradict(find_mistakes: FindMistakes, lines: list[str]) -> None:
    (mistake,) = find_mistakes("proxy / a {\n" + "\n".join(lines) + "\n}")
    assert mistake.startswith("3:1 `insecure_skip_verify` and `ca_certificates` contradict each other")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("ca_certificates", "2:1 "),
        ("tls_client cert", "2:1 "),
        ("tls_client cert key more", "2:21 "),
        ('ca_certificates ""', '2:17 `ca_certificates` needs the name of a file, found `""`'),
        ("insecure_skip_verify yes", "2:22 "),
    ],
)
def test_mistakes_of_tls(find_mistakes: FindMistakes, text: str, mistake: str) -> None:
    (found,) = find_mistakes(f"proxy / a {{\n{text}\n}}")
    assert found.startswith(mistake)


@pytest.mark.parametrize(
    ("text", "retry"),
    [
        ("try_duration 5s", RetrySpec(duration=5.0)),
        ("try_duration -5s", RetrySpec(duration=0.0)),
        ("try_interval 1s", RetrySpec(interval=1.0)),
        ("try_interval 0", RetrySpec(interval=0.0)),
        ("replay_limit 64KB", RetrySpec(replay_limit=65536)),
        ("replay_limit 0", RetrySpec(replay_limit=0)),
        ("replay_limit off", RetrySpec(replay_limit=NO_LIMIT)),
    ],
)
def test_retry(read_route: ReadRoute, text: str, retry: RetrySpec) -> None:
    assert read_route(text).pool.retry == retry


@pytest.mark.parametrize(
    ("text", "timeouts"),
    [
        ("timeout 5s", UpstreamTimeouts(connect=5.0)),
        ("timeout 0", UpstreamTimeouts(connect=None)),
        ("response_timeout 5s", UpstreamTimeouts(response=5.0)),
        ("response_timeout off", UpstreamTimeouts(response=None)),
        ("idle_timeout 5s", UpstreamTimeouts(idle=5.0)),
        ("tunnel_timeout off", UpstreamTimeouts(tunnel=None)),
        ("exchange_timeout 1h", UpstreamTimeouts(exchange=3600.0)),
        ("fallback_delay 50ms", UpstreamTimeouts(fallback_delay=0.05)),
        ("fallback_delay 0", UpstreamTimeouts()),
    ],
)
def test_timeouts(read_route: ReadRoute, text: str, timeouts: UpstreamTimeouts) -> None:
    assert read_route(text).pool.timeouts == timeouts


def test_each_timer_knows_where_the_file_sets_it(read_route: ReadRoute) -> None:
    places = dict(read_route("timeout 5s\nresponse_timeout 6s\ntimeout 7s").pool.timeouts.places)
    assert {name: place.line for name, place in places.items()} == {"timeout": 5, "response_timeout": 4}


@pytest.mark.parametrize(
    ("text", "max_conns", "keepalive"),
    [
        ("max_conns 5", 5, 64),
        ("max_conns -5", 0, 64),
        ("max_conns off", 0, 64),
        ("keepalive 5", 0, 5),
        ("keepalive 0", 0, 0),
        ("keepalive off", 0, 0),
    ],
)
def test_connections(read_route: ReadRoute, text: str, max_conns: int, keepalive: int) -> None:
    pool = read_route(text).pool
    assert (pool.max_conns, pool.keepalive) == (max_conns, keepalive)


@pytest.mark.parametrize(
    ("text", "queue"),
    [
        ("", QueueSpec(100, 1.0)),
        ("queue 5 250ms", QueueSpec(5, 0.25)),
        ("queue 5", QueueSpec(5, 1.0)),
        ("queue 5 off", QueueSpec(5, None)),
        ("queue off", QueueSpec(0, 1.0)),
        ("try_duration 5s", QueueSpec(100, 5.0)),
        ("try_duration 250ms", QueueSpec(100, 1.0)),
        ("try_duration 5s queue 100", QueueSpec(100, 1.0)),
        ("queue off try_duration 5s", QueueSpec(0, 1.0)),
    ],
)
def test_queue(read_route: ReadRoute, text: str, queue: QueueSpec) -> None:
    """v1 asked a full pool again for as long as `try_duration` says; who writes nothing else waits so long."""
    assert read_route(text).pool.queue == queue


def test_a_policy_that_is_not_written_is_found_wanting_where_more_is_asked_of_it(
    read_route: ReadRoute,
) -> None:
    assert read_route("hash_balance 125%").pool.policy.place.line == 3
    assert read_route("hash_balance 125%\npolicy ip_hash").pool.policy.place.line == 4
    assert read_route("policy ip_hash\nhash_balance 125%").pool.policy.place.line == 3


def test_header_rules_accumulate_in_the_order_of_the_file(read_route: ReadRoute) -> None:
    route = read_route(
        "header_upstream A b\nheader_downstream -Server\nheader_upstream +A {host}\nheader_upstream -B x"
    )
    assert route.header_upstream == (
        HeaderRule("set", "A", "b"),
        HeaderRule("add", "A", "{host}"),
        HeaderRule("remove", "B"),
    )
    assert route.header_downstream == (HeaderRule("remove", "Server"),)
    assert [rule.place.line for rule in route.header_upstream] == [3, 5, 6]


def test_a_value_that_is_the_name_of_a_property_is_a_value(read_route: ReadRoute) -> None:
    route = read_route(
        "header_upstream Connection {>Connection} header_upstream Upgrade websocket transparent"
    )
    assert route.header_upstream[1] == HeaderRule("set", "Upgrade", "websocket")
    assert route.is_transparent


@pytest.mark.parametrize("value", ["", "ignored", '"max_fails"'])
def test_a_removal_needs_no_value_also_on_one_line(read_route: ReadRoute, value: str) -> None:
    route = read_route(f"header_upstream -X {value} max_fails 3 header_downstream -Y {value}")
    assert route.header_upstream == (HeaderRule("remove", "X"),)
    assert route.header_downstream == (HeaderRule("remove", "Y"),)
    assert route.pool.passive.max_fails == 3


def test_except_is_joined_to_from_and_replaced_by_a_later_line(read_route: ReadRoute) -> None:
    assert read_route("except /a /b\nexcept /c /d/").excepts == ("/api/c", "/api/d/")


def test_without_and_name_and_presets(read_route: ReadRoute) -> None:
    route = read_route('without /api\nname "my pool"\ntransparent\nwebsocket')
    assert (route.without, route.pool.name, route.is_transparent) == ("/api", "my pool", True)
    assert route.header_upstream == ()


def test_connections_below_http(read_route: ReadRoute) -> None:
    pool = read_route("proxy_protocol v2 tcp_keepalive 30s tcp_nodelay off transparent").pool
    assert (pool.proxy_protocol, pool.tcp) == ("v2", UpstreamTCPSpec(30.0, False))
    pool = read_route("proxy_protocol v2\nproxy_protocol v1\ntcp_keepalive 9s\ntcp_keepalive off").pool
    assert (pool.proxy_protocol, pool.tcp) == ("v1", UpstreamTCPSpec())


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("policy", ["2:1 too few arguments for `policy`: found none, expected 1 to 2 arguments"]),
        ("policy header", ["2:8 policy `header` needs the name of a field, found nothing"]),
        ("policy header transparent", ["2:8 policy `header` needs the name of a field, found nothing"]),
        ("policy query", ["2:8 policy `query` needs the name of a parameter, found nothing"]),
        ('policy cookie ""', ["2:8 policy `cookie` needs the name of a cookie, found nothing"]),
        ("slow_start -1s", ["2:12 expected a duration of 0 or more, found `-1s`"]),
        ("hash_balance 125", ["2:14 expected a percentage such as `125%`, found `125`"]),
        ("hash_balance 99%", ["2:14 must be at least 100%, found `99%`"]),
        ("max_fails 0", ["2:11 must be at least 1, found `0`"]),
        ("max_fails 3 4", ["2:13 too many arguments for `max_fails`: found `4`, expected 1 argument"]),
        ("max_conns x", ["2:11 expected a whole number, found `x`: only digits can be in it"]),
        ("queue off 1s", ["2:11 `queue off` takes no duration: nobody waits"]),
        ("queue 0", ["2:7 a queue holds at least 1 request"]),
        ("queue -1 1s", ["2:7 a queue holds at least 1 request"]),
        ("queue 1s 1s", ["2:7 expected a whole number, found `1s`: only digits can be in it"]),
        ("queue 10 0", ["2:10 a wait of 0 is none"]),
        ("queue 10 -1s", ["2:10 expected a duration of 0 or more, found `-1s`"]),
        ("keepalive -1", ["2:11 must be at least 0, found `-1`"]),
        ("timeout -1s", ["2:9 expected a duration of 0 or more, found `-1s`"]),
        ("try_interval -1s", ["2:14 expected a duration of 0 or more, found `-1s`"]),
        ("try_duration off", ["2:14 retries always end"]),
        ("upstream a b", ["2:12 too many arguments for `upstream`"]),
        ("upstream a weight=0", ["2:12 expected a weight from 1 to 1000, found `weight=0`"]),
        (
            "upstream a role=backup",
            ["2:12 expected `role=fallback` (or `role=primary`), found `role=backup`"],
        ),
        (
            "without api",
            ["2:9 the prefix of `without` must begin with `/`, found `api`: it would never match"],
        ),
        ('except ""', ["2:8 an empty path of `except` would exclude every request"]),
        ('name ""', ["2:6 a pool's name is empty or has characters that cannot be printed"]),
        (
            "header_upstream A",
            ["2:1 too few arguments for `header_upstream`: found only `A`, expected 2 to 3 arguments"],
        ),
        (
            "header_upstream A [ c",
            ["2:19 `[` is not a regular expression: missing ]: ["],
        ),
        ("header_upstream -A b c", ["2:22 too many arguments: a name to remove, `-A`, stands alone"]),
        ("proxy_protocol", ["2:1 too few arguments for `proxy_protocol`: found none, expected 1 argument"]),
        ("proxy_protocol v3", ["2:16 expected `v1` or `v2`, found `v3`"]),
        (
            "proxy_protocol v2 1s",
            ["2:19 too many arguments for `proxy_protocol`: found `1s`, expected 1 argument"],
        ),
        ("tcp_nodelay 1", ["2:13 expected `on` or `off`, found `1`"]),
        ("tcp_keepalive 0.5s", ["2:15 expected whole seconds from `1s` to `32767s` or `off`, found `0.5s`"]),
        ("Policy first", ["2:1 unknown property `Policy` of `proxy`"]),
        ("transparent x", ["2:13 too many arguments for `transparent`: found `x`, expected no argument"]),
    ],
)
def test_mistakes_of_properties(find_mistakes: FindMistakes, text: str, mistakes: list[str]) -> None:
    assert find_mistakes(f"proxy / a {{\n{text}\n}}") == mistakes


def test_all_mistakes_of_a_block_come_at_once(find_mistakes: FindMistakes) -> None:
    text = "proxy x y:z {\npolcy first\npolicy header\nmax_fails 0\nhealth_check_grpc\ntimeout 10\n}"
    assert [mistake.partition(" ")[0] for mistake in find_mistakes(text)] == [
        "1:7",
        "1:9",
        "2:1",
        "3:8",
        "4:11",
        "5:1",
        "6:9",
    ]


LATER = {
    "health_check_grpc": "service",
    "tls_server_name": "name",
}


@pytest.mark.parametrize(("name", "args"), LATER.items())
@pytest.mark.parametrize(
    "block", ["{{ policy first {0} {1} transparent }}", "{{\npolicy first\n{0} {1}\ntransparent\n}}"]
)
def test_what_is_still_to_come_is_one_mistake(
    find_mistakes: FindMistakes, name: str, args: str, block: str
) -> None:
    (mistake,) = find_mistakes("proxy / a " + block.format(name, args))
    assert mistake.partition(" ")[2] == f"`{name}` is not in this release yet"


def test_every_property_of_the_table_is_tested_above() -> None:
    later = {name for name, one in PROPERTIES.items() if one.read is PROPERTIES["tls_server_name"].read}
    assert later == set(LATER)


@pytest.mark.parametrize(
    ("text", "kinds", "timeout"),
    [
        ("retry_on connect timeout", ("connect", "timeout"), 30.0),
        ("retry_on connect timeout 503 all_methods", ("connect", "timeout", "503"), 30.0),
        ("retry_on connect timeout transparent", ("connect", "timeout"), 30.0),
        ("retry_on timeout timeout 5s", ("timeout",), 5.0),
        ("retry_on connect timeout 5s", ("connect",), 5.0),
        ('retry_on connect "timeout" timeout 5s', ("connect", "timeout"), 5.0),
    ],
)
def test_the_kind_of_failure_that_is_also_a_property(
    read_site: ReadSite, text: str, kinds: tuple[str, ...], timeout: float
) -> None:
    for block in (f"{{ {text} }}", f"{{\n{text}\n}}"):
        (route,) = read_site(f"proxy / a {block}").routes
        assert (route.pool.retry.kinds, route.pool.timeouts.connect) == (kinds, timeout)
