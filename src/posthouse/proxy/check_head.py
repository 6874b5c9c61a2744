"""The request of an active health check: what the site would send to the backend, without a client to send it for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, cast

from posthouse.config.specs import EndpointSpec, HeaderRule, HealthSpec, RouteSpec
from posthouse.observe.placeholders import compile_template
from posthouse.observe.record import Subject
from posthouse.protocol.fields import Field
from posthouse.protocol.target import split_authority
from posthouse.proxy.rewrite import HeaderProgram, as_wire_text
from posthouse.proxy.route import Origin

USER_AGENT: Final = b"Posthouse health check"
_OURS: Final = [Field(b"User-Agent", USER_AGENT), Field(b"Accept-Encoding", b"identity")]
"""`identity`: a text is looked for in the body as it comes."""
_WITH_BODY: Final = ("POST", "PUT", "PATCH")
_SUBJECT: Final = cast(Subject, None)
"""There is no exchange; templates that are constant don't look at it."""


def check_head(route: RouteSpec, endpoint: EndpointSpec, health: HealthSpec, site_host: str) -> bytes:
    """The whole head; ends with the empty line.

    endpoint   what is dialled
    site_host  what `{host}` is in a rule for Host, and the Host under `transparent`; "" = the site has no name

    Of the rules those act that need no request: constant ones, and `Host` with `{host}` in it. Fields of the check
    replace those of a rule. Framing and Connection are ours.
    """
    origin = Origin(endpoint)
    check = health.check
    program = HeaderProgram([*_constant_rules(route.header_upstream, site_host), *_own_rules(check.headers)])
    authority = site_host.encode() if route.is_transparent and site_host else origin.authority
    if program.has_host:
        made = program.host(authority, _SUBJECT)
        if split_authority(made) is not None:
            authority = made
    path, mark, query = check.path.encode().partition(b"?")
    lines = b"".join(program.apply(_OURS, _SUBJECT))
    if origin.authorization and not program.writes_authorization:
        lines += origin.authorization
    if check.method in _WITH_BODY:
        lines += b"Content-Length: 0\r\n"  # RFC 9110 8.6
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%bConnection: close\r\n\r\n" % (
        check.method.encode(),
        origin.join(path, mark + query),
        authority,
        lines,
    )


def _constant_rules(rules: tuple[HeaderRule, ...], site_host: str) -> Iterator[HeaderRule]:
    for rule in rules:
        value = rule.value
        if site_host and rule.name.lower() == "host":
            value = value.replace("{host}", site_host).replace("{hostonly}", site_host)
        if rule.op == "remove" or compile_template(as_wire_text(value), "").is_constant:
            yield replace(rule, value=value)


def _own_rules(headers: tuple[tuple[str, str], ...]) -> Iterator[HeaderRule]:
    """The fields of the check, as rules; what looks like a placeholder in a value is none."""
    for name in dict.fromkeys(name.lower() for name, _ in headers):
        yield HeaderRule("remove", name)
    for name, value in headers:
        yield HeaderRule("add", name, value.replace("{", "\\{").replace("}", "\\}"))
