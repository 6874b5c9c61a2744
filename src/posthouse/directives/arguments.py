"""Reading one argument: from a token to a value, or to the mistake that a person is shown."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from posthouse.caddyfile.dispenser import Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import MATCHER_HINT, quote
from posthouse.config.units import NO_LIMIT, parse_count, parse_duration, parse_percent, parse_size

OFF = "off"
_STATUSES = re.compile(r"([2-5])xx|([2-5][0-9]{2})(?:-([2-5][0-9]{2}))?", re.IGNORECASE)
_Value = TypeVar("_Value")


class Rejected(Exception):
    """A token that cannot be used. Whoever walks the tokens catches it, notes the mistake, and goes on."""

    def __init__(self, token: Token, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.token = token
        self.message = message
        self.hint = hint
        self.further: list[Rejected] = []
        """Other words of the same line that cannot be used."""

    def tell(self, dispenser: Dispenser) -> None:
        """Note the mistake, and those beside it."""
        dispenser.fail(self.token, self.message, self.hint)
        for one in self.further:
            one.tell(dispenser)


def all_of(args: Iterable[Token], read: Callable[[Token], _Value]) -> tuple[_Value, ...]:
    """What is read from each word. Raises Rejected with all those that cannot be used."""
    values: list[_Value] = []
    rejected: list[Rejected] = []
    for arg in args:
        try:
            values.append(read(arg))
        except Rejected as one:
            rejected.append(one)
    if rejected:
        rejected[0].further = rejected[1:]
        raise rejected[0]
    return tuple(values)


def _read(token: Token, parse: Callable[[str], _Value], expected: str) -> _Value:
    try:
        return parse(token.text)
    except ValueError as wrong:
        raise Rejected(token, f"expected {expected}, found {quote(token)}: {wrong}") from None


def duration(token: Token) -> float:
    """Seconds; may be negative."""
    return _read(token, parse_duration, "a duration such as `30s`")


def positive_duration(token: Token) -> float:
    """Seconds, not below 0."""
    seconds = duration(token)
    if seconds < 0:
        raise Rejected(token, f"expected a duration of 0 or more, found {quote(token)}")
    return seconds


def wait(token: Token) -> float | None:
    """Seconds to wait at most; `off`, `none` and 0 are None: no limit."""
    if token.text in (OFF, "none"):
        return None
    return positive_duration(token) or None


def size(token: Token) -> int:
    """Bytes, at least 1; `off` is NO_LIMIT."""
    if token.text == OFF:
        return NO_LIMIT
    number = _read(token, parse_size, "a size such as `64KB`")
    if number == 0:
        raise Rejected(token, "a limit must be above 0", "write `off` for no limit")
    return number


def count(token: Token, least: int | None = None) -> int:
    """A whole number, not below `least`."""
    number = _read(token, parse_count, "a whole number")
    if least is not None and number < least:
        raise Rejected(token, f"must be at least {least}, found {quote(token)}")
    return number


def percent(token: Token, most: int) -> float:
    """`20%`, or `20`: from 0 to `most`, with a fraction if need be."""
    number = _read(token, parse_percent, "a share such as `20%`")
    if number > most:
        raise Rejected(token, f"must be at most {most}%, found {quote(token)}")
    return number


def whole_percent(token: Token, least: int = 0) -> int:
    """The number in `125%`, not below `least`."""
    number = token.text.removesuffix("%")
    if number == token.text or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise Rejected(token, f"expected a percentage such as `125%`, found {quote(token)}")
    if int(number) < least:
        raise Rejected(token, f"must be at least {least}%, found {quote(token)}")
    return int(number)


def statuses(token: Token) -> tuple[int, int]:
    """First and last of the statuses that `200`, `2xx` or `200-399` means. Those of final responses: 200 to 599."""
    found = _STATUSES.fullmatch(token.text)
    if found is None:
        raise Rejected(
            token, f"expected a status such as `200`, `2xx` or `200-399` (200 to 599), found {quote(token)}"
        )
    if found[1]:
        return int(found[1]) * 100, int(found[1]) * 100 + 99
    first = int(found[2])
    last = int(found[3] or first)
    if last < first:
        raise Rejected(token, f"{quote(token)} is no range of statuses: it must go up")
    return first, last


def network(token: Token) -> str:
    """An IP address or network, as a network in CIDR form."""
    try:
        return str(ipaddress.ip_network(token.text.strip("[]"), strict=False))
    except ValueError:
        found = f"expected an IP address or network, found {quote(token)}"
        raise Rejected(token, found, "write `10.0.0.0/8` or `fd00::/8`") from None


def networks(dispenser: Dispenser, known: list[str]) -> None:
    """Add all arguments of a directive to `known`, each network once; notes a mistake for each that is none."""
    for arg in dispenser.args:
        try:
            one = network(arg)
        except Rejected as rejected:
            dispenser.fail(rejected.token, rejected.message, rejected.hint)
            continue
        if one not in known:
            known.append(one)


def switch(token: Token) -> bool:
    """`on` or `off`."""
    if token.text not in ("on", OFF):
        raise Rejected(token, f"expected `on` or `off`, found {quote(token)}")
    return token.text == "on"


def path(token: Token, of: str) -> str:
    """A path that begins with a slash; `of` says whose, as in "FROM"."""
    if not token.text.startswith("/"):
        hint = MATCHER_HINT if token.is_word("*") else ""
        raise Rejected(token, f"{of} must begin with `/`, found {quote(token)}: it would never match", hint)
    return token.text


def each(dispenser: Dispenser, properties: list[Property], read: Callable[[Property], None]) -> None:
    """Read all the properties of a block; one that is rejected leaves the others to be read."""
    for one in properties:
        try:
            read(one)
        except Rejected as rejected:
            rejected.tell(dispenser)
