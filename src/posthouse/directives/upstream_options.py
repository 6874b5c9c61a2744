"""The options of an `upstream` line: `weight=1..1000`, `max_conns=N`, `role=fallback`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.specs import HEAVIEST, EndpointSpec, SourceSpec
from posthouse.directives.arguments import OFF, Rejected

_OPTIONS: Final = ("weight", "max_conns", "role")


def with_options(endpoints: Sequence[EndpointSpec], options: Sequence[Token]) -> list[EndpointSpec]:
    """The endpoints of one TO with what its line says of them. Raises Rejected."""
    given = _read(options)
    return [replace(endpoint, **given) for endpoint in endpoints]


def source_with_options(source: SourceSpec, options: Sequence[Token]) -> SourceSpec:
    """The same for a TO that stands for backends which are found: it is said of each of them. Raises Rejected."""
    given = _read(options)
    if "weight" in given and source.kind != "dns":
        weights = next(token for token in options if token.text.startswith("weight="))
        theirs = "the SRV records" if source.kind == "srv" else "the list"
        raise Rejected(weights, f"the weights come from {theirs}, found {quote(weights)}", "leave it out")
    return replace(source, member=replace(source.member, **given))


def _read(options: Sequence[Token]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for token in options:
        name, equals, value = token.text.partition("=")
        if not equals:
            raise Rejected(
                token, "too many arguments for `upstream`", "each backend has an `upstream` line of its own"
            )
        if name not in _OPTIONS:
            known = ", ".join(f"`{one}=`" for one in _OPTIONS)
            raise Rejected(token, f"unknown option {quote(token)} of `upstream`", f"there are {known}")
        if name in given:
            raise Rejected(token, f"`{name}=` is there twice")
        given[name] = _READERS[name](token, value)
    return given


def _weight(token: Token, value: str) -> int:
    if not _is_number(value) or not 1 <= int(value) <= HEAVIEST:
        raise Rejected(token, f"expected a weight from 1 to {HEAVIEST}, found {quote(token)}")
    return int(value)


def _max_conns(token: Token, value: str) -> int:
    if value == OFF:
        return 0
    if not _is_number(value) or int(value) < 1:
        raise Rejected(token, f"expected `max_conns=` with 1 or more, or `off`, found {quote(token)}")
    return int(value)


def _role(token: Token, value: str) -> str:
    if value not in ("primary", "fallback"):
        raise Rejected(token, f"expected `role=fallback` (or `role=primary`), found {quote(token)}")
    return value


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


_READERS: Final = {"weight": _weight, "max_conns": _max_conns, "role": _role}
