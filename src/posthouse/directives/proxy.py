"""`proxy FROM TO... { PROPERTIES }`: requests below FROM go to one of the backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.caddyfile.parser import Segment
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import FileSpec, PolicySpec, ProxyProtocolVersion
from posthouse.directives import failure_properties as failure
from posthouse.directives import health_properties as health
from posthouse.directives.arguments import (
    OFF,
    Rejected,
    count,
    each,
    path,
    positive_duration,
    switch,
    wait,
    whole_percent,
)
from posthouse.directives.draft import SiteDraft
from posthouse.directives.foreign import BESIDE_PROXY
from posthouse.directives.header_rules import header_rule, rule_notices
from posthouse.directives.route_draft import RouteDraft
from posthouse.directives.source_words import parse_source
from posthouse.directives.tcp import keepalive
from posthouse.directives.upstream_options import source_with_options, with_options
from posthouse.endpoints import BadEndpoint, parse_endpoints
from posthouse.errors import NOWHERE

USAGE = "proxy FROM TO..."
_NAMED_BY = {"header": "field", "query": "parameter", "cookie": "cookie"}
"""Policies that hash something with a name, and what it is a name of."""
_VERSIONS: dict[str, ProxyProtocolVersion] = {"v1": "v1", "v2": "v2"}
_HEADER_RULES = ("header_upstream", "header_downstream")
_FOREIGN = {
    **BESIDE_PROXY,
    "header": "write `header_upstream` for the request or `header_downstream` for the response",
    "tls": "a TO that begins with `https://` is spoken to over TLS",
    "to": "write `upstream TO`",
    "send_proxy": "here it is `proxy_protocol v1` or `proxy_protocol v2`",
    "flush_interval": "each part of a response is passed on at once",
}


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.routes`, unless something of the block is rejected: then only mistakes are noted."""
    before = len(dispenser.mistakes)
    route = RouteDraft(site.name, dispenser.name.place)
    if dispenser.check_args(Arity(1, None)):
        _attempt(dispenser, lambda: _read_from(dispenser.args[0], route))
    for to in dispenser.args[1:]:
        _attempt(dispenser, lambda to=to: _add_endpoints(route, to))  # type: ignore[misc]
    if dispenser.has_block:
        each(dispenser, _properties(dispenser), lambda one: _read_property(one, route))
    site.policies.append(route.policy)
    if not dispenser.mistakes[before:]:
        if not (route.endpoints or route.sources):
            raise Rejected(dispenser.name, "`proxy` has no backend", f"write `{USAGE}` or an `upstream` line")
        site.routes.append(route.finish())
        site.notices += route.notices
        site.notices += route.health.notices(route.endpoints)
        site.notices += route.failure.notices(len(route.endpoints), has_checks=route.health.is_on)


def _properties(dispenser: Dispenser) -> list[Property]:
    """The block's properties.

    Only a header rule that removes may do without a value. Where it has none it gets an empty one, so that
    every header rule has the same least number of arguments.
    """
    brace = replace(dispenser.name, quoted=False)
    tokens = [replace(brace, text="{", is_first=False)]
    for one in dispenser.lines():
        tokens += _with_values((one.name, *one.args))
    tokens.append(replace(brace, text="}"))
    block = Dispenser(Segment(dispenser.name, tuple(tokens)))
    properties = block.properties(ARITIES, _FOREIGN)
    dispenser.mistakes += block.mistakes
    return properties


def _with_values(line: tuple[Token, ...]) -> list[Token]:
    tokens: list[Token] = []
    for at, token in enumerate(line):
        tokens.append(token)
        is_removal = token.text.startswith("-") and at and line[at - 1].text in _HEADER_RULES
        following = line[at + 1] if at + 1 < len(line) else None
        if is_removal and (following is None or (following.text in ARITIES and not following.quoted)):
            tokens.append(replace(token, text="", quoted=True, is_first=False))
    return tokens


def _attempt(dispenser: Dispenser, read_one: Callable[[], None]) -> None:
    try:
        read_one()
    except Rejected as rejected:
        rejected.tell(dispenser)


def _read_from(base: Token, route: RouteDraft) -> None:
    route.base = path(base, "FROM")


def _read_property(one: Property, route: RouteDraft) -> None:
    PROPERTIES[one.name.text].read(one, route)


# Readers of properties. Each raises Rejected.


def _add_endpoints(route: RouteDraft, to: Token) -> None:
    try:
        source = parse_source(to.text, to.place, len(route.endpoints))
        if source is None:
            route.endpoints += parse_endpoints(to.text, to.place)
        else:
            route.sources.append(source)
    except BadEndpoint as bad:
        raise Rejected(to, bad.message, bad.hint) from None


def _upstream(one: Property, route: RouteDraft) -> None:
    to, *options = one.args
    endpoints, sources = len(route.endpoints), len(route.sources)
    _add_endpoints(route, to)
    route.endpoints[endpoints:] = with_options(route.endpoints[endpoints:], options)
    for place in range(sources, len(route.sources)):
        route.sources[place] = source_with_options(route.sources[place], options)


def _policy(one: Property, route: RouteDraft) -> None:
    name, *args = one.args
    if name.text in _NAMED_BY and not (args and args[0].text):
        raise Rejected(
            name,
            f"policy `{name.text}` needs the name of a {_NAMED_BY[name.text]}, found nothing",
            f"write `policy {name.text} NAME`; in quotes if it is also the name of a property",
        )
    route.policy = PolicySpec(name.text, tuple(arg.text for arg in args), name.place)


def _slow_start(one: Property, route: RouteDraft) -> None:
    route.slow_start = wait(one.args[0]) or 0.0


def _hash_balance(one: Property, route: RouteDraft) -> None:
    """Below the average of all backends somebody would always hold too much."""
    arg = one.args[0]
    route.hash_balance = 0 if arg.text == OFF else whole_percent(arg, least=100)
    if route.policy.place == NOWHERE:  # a policy that is not written can only be found wanting here
        route.policy = replace(route.policy, place=one.name.place)


def _max_conns(one: Property, route: RouteDraft) -> None:
    """Below 0 means unlimited, as in v1."""
    route.max_conns = 0 if one.args[0].text == OFF else max(0, count(one.args[0]))


def _queue(one: Property, route: RouteDraft) -> None:
    """`queue SIZE [D]`, `queue off`."""
    length, *waits = one.args
    if length.text == OFF:
        if waits:
            raise Rejected(waits[0], "`queue off` takes no duration: nobody waits")
        route.queue = QueueSpec(size=0)
        return
    most = count(length)
    if most < 1:
        raise Rejected(length, "a queue holds at least 1 request", "write `queue off` if nobody is to wait")
    seconds = QueueSpec().wait
    if waits:
        seconds = wait(waits[0])
        if seconds is None and waits[0].text != OFF:
            raise Rejected(waits[0], "a wait of 0 is none", "write `queue off` if nobody is to wait")
    route.queue = QueueSpec(most, seconds)


def _header_upstream(one: Property, route: RouteDraft) -> None:
    route.header_upstream.append(header_rule(one.args[0], one.args[1:]))
    route.notices += rule_notices(one.args[0], one.args[1:])


def _header_downstream(one: Property, route: RouteDraft) -> None:
    route.header_downstream.append(header_rule(one.args[0], one.args[1:]))
    route.notices += rule_notices(one.args[0], one.args[1:])


def _keepalive(one: Property, route: RouteDraft) -> None:
    route.keepalive = 0 if one.args[0].text == OFF else count(one.args[0], least=0)


def _timeout(one: Property, route: RouteDraft) -> None:
    route.set_timeouts(one.name, replace(route.timeouts, connect=wait(one.args[0])))


def _response_timeout(one: Property, route: RouteDraft) -> None:
    route.set_timeouts(one.name, replace(route.timeouts, response=wait(one.args[0])))


def _idle_timeout(one: Property, route: RouteDraft) -> None:
    route.set_timeouts(one.name, replace(route.timeouts, idle=wait(one.args[0])))


def _tunnel_timeout(one: Property, route: RouteDraft) -> None:
    route.set_timeouts(one.name, replace(route.timeouts, tunnel=wait(one.args[0])))


def _exchange_timeout(one: Property, route: RouteDraft) -> None:
    route.set_timeouts(one.name, replace(route.timeouts, exchange=wait(one.args[0])))


def _fallback_delay(one: Property, route: RouteDraft) -> None:
    """0 means the default, as in v1."""
    seconds = positive_duration(one.args[0])
    if seconds:
        route.set_timeouts(one.name, replace(route.timeouts, fallback_delay=seconds))


def _without(one: Property, route: RouteDraft) -> None:
    route.without = path(one.args[0], "the prefix of `without`") if one.args[0].text else ""


def _except(one: Property, route: RouteDraft) -> None:
    """A later line replaces an earlier one."""
    for arg in one.args:
        if not arg.text:
            raise Rejected(arg, "an empty path of `except` would exclude every request")
    route.excepts = [arg.text for arg in one.args]


def _name(one: Property, route: RouteDraft) -> None:
    text = one.args[0].text
    if not text or not text.isprintable():
        raise Rejected(one.args[0], "a pool's name is empty or has characters that cannot be printed")
    route.name = text


def _transparent(one: Property, route: RouteDraft) -> None:
    route.is_transparent = True


def _websocket(one: Property, route: RouteDraft) -> None:
    """Upgrades pass without the preset; it stays valid for the sake of old files."""


def _insecure_skip_verify(one: Property, route: RouteDraft) -> None:
    _refuse_both(one.name, bool(route.tls.ca_certificates))
    route.tls = replace(route.tls, insecure_skip_verify=True)


def _ca_certificates(one: Property, route: RouteDraft) -> None:
    """A later line replaces an earlier one."""
    _refuse_both(one.name, route.tls.insecure_skip_verify)
    route.tls = replace(route.tls, ca_certificates=_files(one))


def _refuse_both(name: Token, has_other: bool) -> None:
    if has_other:
        raise Rejected(
            name,
            "`insecure_skip_verify` and `ca_certificates` contradict each other: one verifies nothing",
            "leave one of them out",
        )


def _tls_client(one: Property, route: RouteDraft) -> None:
    route.tls = replace(route.tls, client=_files(one))


def _files(one: Property) -> tuple[FileSpec, ...]:
    for arg in one.args:
        if not arg.text or "\0" in arg.text:
            raise Rejected(arg, f"`{one.name.text}` needs the name of a file, found {quote(arg)}")
    return tuple(FileSpec(arg.text, arg.place) for arg in one.args)


def _proxy_protocol(one: Property, route: RouteDraft) -> None:
    arg = one.args[0]
    if arg.text not in _VERSIONS:
        raise Rejected(arg, f"expected `v1` or `v2`, found {quote(arg)}")
    route.proxy_protocol = _VERSIONS[arg.text]


def _tcp_keepalive(one: Property, route: RouteDraft) -> None:
    route.tcp = replace(route.tcp, keepalive=keepalive(one.args[0]))


def _tcp_nodelay(one: Property, route: RouteDraft) -> None:
    route.tcp = replace(route.tcp, nodelay=switch(one.args[0]))


def _later(one: Property, route: RouteDraft) -> None:
    raise Rejected(one.name, f"`{one.name.text}` is not in this release yet")


class PropertyReader(NamedTuple):
    """How many arguments a property takes, and who reads them."""

    arity: Arity
    read: Callable[[Property, RouteDraft], None]


_FLAG, _ONE, _ANY = Arity(0, 0), Arity(1, 1), Arity(1, None)

PROPERTIES: dict[str, PropertyReader] = {
    "policy": PropertyReader(Arity(1, 6, later=4), _policy),
    "fail_timeout": PropertyReader(_ONE, failure.fail_timeout),
    "max_fails": PropertyReader(_ONE, failure.max_fails),
    "max_conns": PropertyReader(_ONE, _max_conns),
    "try_duration": PropertyReader(_ONE, failure.try_duration),
    "try_interval": PropertyReader(_ONE, failure.try_interval),
    "header_upstream": PropertyReader(Arity(2, 3), _header_upstream),
    "header_downstream": PropertyReader(Arity(2, 3), _header_downstream),
    "keepalive": PropertyReader(_ONE, _keepalive),
    "timeout": PropertyReader(_ONE, _timeout),
    "fallback_delay": PropertyReader(_ONE, _fallback_delay),
    "without": PropertyReader(_ONE, _without),
    "except": PropertyReader(_ANY, _except),
    "upstream": PropertyReader(Arity(1, 4, later=3), _upstream),
    "insecure_skip_verify": PropertyReader(_FLAG, _insecure_skip_verify),
    "ca_certificates": PropertyReader(_ANY, _ca_certificates),
    "tls_client": PropertyReader(Arity(2, 2), _tls_client),
    "transparent": PropertyReader(_FLAG, _transparent),
    "websocket": PropertyReader(_FLAG, _websocket),
    "health_check": PropertyReader(_ONE, health.path),
    "health_check_port": PropertyReader(_ONE, health.port),
    "health_check_interval": PropertyReader(_ONE, health.interval),
    "health_check_timeout": PropertyReader(_ONE, health.timeout),
    "health_check_contains": PropertyReader(_ONE, health.contains),
    # Beyond v1.
    "response_timeout": PropertyReader(_ONE, _response_timeout),
    "idle_timeout": PropertyReader(_ONE, _idle_timeout),
    "tunnel_timeout": PropertyReader(_ONE, _tunnel_timeout),
    "exchange_timeout": PropertyReader(_ONE, _exchange_timeout),
    "replay_limit": PropertyReader(_ONE, failure.replay_limit),
    "name": PropertyReader(_ONE, _name),
    "queue": PropertyReader(Arity(1, 2), _queue),
    "health_check_status": PropertyReader(_ANY, health.status),
    "health_check_header": PropertyReader(Arity(2, 2), health.header),
    "health_check_method": PropertyReader(_ONE, health.method),
    "health_check_passes": PropertyReader(_ONE, health.passes),
    "health_check_fails": PropertyReader(_ONE, health.fails),
    "health_check_down_interval": PropertyReader(_ONE, health.down_interval),
    "health_check_drain": PropertyReader(_ANY, health.drain),
    "health_check_tcp": PropertyReader(_FLAG, health.tcp),
    "try_count": PropertyReader(_ONE, failure.try_count),
    "retry_on": PropertyReader(Arity(1, None, words=failure.RETRY_WORDS), failure.retry_on),
    "retry_budget": PropertyReader(Arity(1, 2), failure.retry_budget),
    "unhealthy_status": PropertyReader(_ANY, failure.unhealthy_status),
    "unhealthy_latency": PropertyReader(_ONE, failure.unhealthy_latency),
    "max_ejected": PropertyReader(_ONE, failure.max_ejected),
    "panic": PropertyReader(_ONE, failure.panic),
    "breaker": PropertyReader(Arity(0, 6), failure.breaker),
    "slow_start": PropertyReader(_ONE, _slow_start),
    "hash_balance": PropertyReader(_ONE, _hash_balance),
    "proxy_protocol": PropertyReader(_ONE, _proxy_protocol),
    "tcp_keepalive": PropertyReader(_ONE, _tcp_keepalive),
    "tcp_nodelay": PropertyReader(_ONE, _tcp_nodelay),
    # Still to come: known by their arity, so that a one-line block with one of them has this one mistake.
    "health_check_grpc": PropertyReader(Arity(0, 1), _later),
    "tls_server_name": PropertyReader(_ONE, _later),
}
ARITIES = {
    name: replace(reader.arity, is_later=True) if reader.read is _later else reader.arity
    for name, reader in PROPERTIES.items()
}
