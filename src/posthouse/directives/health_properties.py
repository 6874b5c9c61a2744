"""Readers of the `health_check*` properties of `proxy`. Each raises Rejected."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote as percent_encode

from posthouse.caddyfile.dispenser import Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.directives.arguments import OFF, Rejected, all_of, count, duration, statuses
from posthouse.directives.header_rules import field_name, header_rule
from posthouse.directives.route_draft import RouteDraft

LEAST_SECONDS = 0.001
"""Below this an interval or a timeout is a slip of the pen: no check would ever be finished in it."""
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 9.1: a token, case-sensitive."""
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATH_SAFE = "/%!$&'()*+,;=:@-._~[]?"


def path(one: Property, route: RouteDraft) -> None:
    """A path with or without its slash, a query after it; "" is off, as in v1."""
    arg = one.args[0]
    text = arg.text
    if _URL.match(text):
        raise Rejected(arg, f"expected a path, found {quote(arg)}: each backend is asked at its own address")
    if _UNSENDABLE.search(text):
        raise Rejected(arg, "the path of a health check has no blanks or control characters in it")
    if "#" in text:
        raise Rejected(arg, "a fragment (`#…`) is never sent to a backend")
    if _BAD_ESCAPE.search(text):
        raise Rejected(arg, "a percent sign is not followed by two hexadecimal digits")
    if text and not text.startswith("/"):
        text = "/" + text
    _set_check(one, route, path=percent_encode(text, safe=_PATH_SAFE))


def tcp(one: Property, route: RouteDraft) -> None:
    """The draft asks only whether it was written."""
    route.health.note(one.name)


def port(one: Property, route: RouteDraft) -> None:
    """v1 took 0 and 99999 too, and the backend was down for good."""
    arg = one.args[0]
    number = count(arg)
    if not 1 <= number <= 65535:
        raise Rejected(arg, f"expected a port from 1 to 65535, found {quote(arg)}")
    _set_check(one, route, port=number)


def contains(one: Property, route: RouteDraft) -> None:
    """ "" is off, as in v1."""
    _set_check(one, route, contains=one.args[0].text)


def status(one: Property, route: RouteDraft) -> None:
    """A later line replaces an earlier one."""
    _set_check(one, route, statuses=all_of(one.args, statuses))


def drain(one: Property, route: RouteDraft) -> None:
    """A later line replaces an earlier one."""
    if [arg.text for arg in one.args] == [OFF]:
        _set_check(one, route, drain=(), drain_fields=())
        return
    fields = [arg for arg in one.args if _is_field(arg)]
    ranges = [arg for arg in one.args if arg not in fields]
    for arg in fields:
        if "*" in arg.text:
            raise Rejected(arg, f"expected a status or the name of a field, found {quote(arg)}")
    names = tuple(field_name(arg, arg.text) for arg in fields)
    _set_check(one, route, drain=all_of(ranges, statuses), drain_fields=names)


def _is_field(arg: Token) -> bool:
    """Whether it is meant as a field's name. No name that is in use begins with a digit, so `5x` is a slip."""
    return not arg.text[:1].isdigit() and arg.text not in ("", OFF)


def header(one: Property, route: RouteDraft) -> None:
    """One more field. The value is no template: there is no request that could fill it."""
    name, value = one.args
    if name.text.startswith(("+", "-")):
        raise Rejected(name, f"expected the name of a field, found {quote(name)}")
    rule = header_rule(name, (value,))
    if rule.name.lower() in ("connection", "upgrade"):
        raise Rejected(name, f"`{rule.name}` belongs to the connection, not to the check")
    if not value.text.strip(" \t"):
        raise Rejected(value, f"the value of `{rule.name}` is empty")
    _set_check(one, route, headers=(*route.health.spec.check.headers, (rule.name, value.text)))


def method(one: Property, route: RouteDraft) -> None:
    """Any token but CONNECT, whose answer would not be one to a request."""
    arg = one.args[0]
    if _METHOD.fullmatch(arg.text) is None or arg.text.upper() == "CONNECT":
        raise Rejected(arg, f"expected a method such as `GET` or `HEAD`, found {quote(arg)}")
    if arg.text.islower():
        raise Rejected(arg, f"methods are case-sensitive: found {quote(arg)}", f"write `{arg.text.upper()}`")
    _set_check(one, route, method=arg.text)


def interval(one: Property, route: RouteDraft) -> None:
    """v1 crashed at 0."""
    _set(one, route, interval=_some_time(one.args[0]))


def down_interval(one: Property, route: RouteDraft) -> None:
    _set(one, route, down_interval=_some_time(one.args[0]))


def timeout(one: Property, route: RouteDraft) -> None:
    """v1 took 0 for "no limit": a backend that hangs then stayed up for ever."""
    _set(one, route, timeout=_some_time(one.args[0]))


def passes(one: Property, route: RouteDraft) -> None:
    _set(one, route, passes=count(one.args[0], least=1))


def fails(one: Property, route: RouteDraft) -> None:
    _set(one, route, fails=count(one.args[0], least=1))


def _some_time(arg: Token) -> float:
    seconds = duration(arg)
    if seconds < LEAST_SECONDS:
        raise Rejected(arg, f"expected a duration of at least `1ms`, found {quote(arg)}")
    return seconds


def _set(one: Property, route: RouteDraft, **values: Any) -> None:
    route.health.note(one.name)
    route.health.spec = replace(route.health.spec, **values)


def _set_check(one: Property, route: RouteDraft, **values: Any) -> None:
    _set(one, route, check=replace(route.health.spec.check, **values))
