"""Readers of the properties of `proxy` that say what a failure is, what follows from it, and what is tried again.

Each raises Rejected.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, get_args

from posthouse.caddyfile.dispenser import Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import did_you_mean, quote
from posthouse.config.specs import BreakerSpec, RetryKind, RetrySpec
from posthouse.directives.arguments import (
    OFF,
    Rejected,
    all_of,
    count,
    duration,
    percent,
    positive_duration,
    size,
    statuses,
    switch,
)
from posthouse.directives.route_draft import RouteDraft

ALL_METHODS: Final = "all_methods"
_KINDS: Final[tuple[RetryKind, ...]] = get_args(RetryKind)
RETRY_WORDS: Final = frozenset((*_KINDS, ALL_METHODS))
LEAST_SECONDS: Final = 0.001
"""Below this a duration is a slip of the pen."""
MOST_TRIALS: Final = 1000


def fail_timeout(one: Property, route: RouteDraft) -> None:
    """Below 0 means off, as in v1."""
    _passive(one, route, fail_timeout=0.0 if one.args[0].text == OFF else max(0.0, duration(one.args[0])))


def max_fails(one: Property, route: RouteDraft) -> None:
    _passive(one, route, max_fails=count(one.args[0], least=1))


def unhealthy_status(one: Property, route: RouteDraft) -> None:
    """A later line replaces an earlier one."""
    is_off = [arg.text for arg in one.args] == [OFF]
    _passive(one, route, statuses=() if is_off else all_of(one.args, statuses))


def unhealthy_latency(one: Property, route: RouteDraft) -> None:
    _passive(one, route, latency=None if one.args[0].text == OFF else _some_time(one.args[0]))


def max_ejected(one: Property, route: RouteDraft) -> None:
    _passive(one, route, max_ejected=percent(one.args[0], most=100))


def panic(one: Property, route: RouteDraft) -> None:
    _passive(one, route, panic=switch(one.args[0]))


def breaker(one: Property, route: RouteDraft) -> None:
    """A later line replaces an earlier one. `breaker off` is none."""
    if [arg.text for arg in one.args] == [OFF]:
        _passive(one, route, breaker=None)
        return
    spec = BreakerSpec()
    given: set[str] = set()
    for arg in one.args:
        name, equals, text = arg.text.partition("=")
        if name not in _BREAKER:
            hint = did_you_mean(name, _BREAKER)
            raise Rejected(arg, f"expected {_BREAKER_FORM}, found {quote(arg)}", hint)
        if not equals or not text or name in given:
            what = "is there twice" if name in given else "has no value"
            raise Rejected(arg, f"`{name}=` of `breaker` {what}")
        given.add(name)
        value = replace(arg, text=text)
        spec = replace(spec, **_breaker_value(name, value))
    if spec.errors is None and spec.latency is None:
        raise Rejected(one.name, "a breaker with neither `errors=` nor `latency=` would never open")
    _passive(one, route, breaker=spec)


_BREAKER: Final = {
    "errors": "errors",
    "latency": "latency",
    "window": "window",
    "min": "minimum",
    "open": "open",
    "trials": "trials",
}
"""As written, and the field of the spec."""
_BREAKER_FORM: Final = "`errors=50%`, `latency=2s`, `window=10s`, `min=20`, `open=30s` or `trials=1`"


def _breaker_value(name: str, value: Token) -> dict[str, Any]:
    is_off = value.text == OFF
    read: Any
    if name == "errors":
        read = None if is_off else percent(value, most=100)
        if read == 0:
            raise Rejected(value, "a breaker that opens at 0% of errors would always be open")
    elif name == "latency":
        read = None if is_off else _some_time(value)
    elif name in ("window", "open"):
        read = _some_time(value)
    else:
        read = count(value, least=1)
        if name == "trials" and read > MOST_TRIALS:
            raise Rejected(value, f"must be at most {MOST_TRIALS}, found {quote(value)}")
    return {_BREAKER[name]: read}


def try_duration(one: Property, route: RouteDraft) -> None:
    """Below 0 means one attempt, as in v1."""
    if one.args[0].text == OFF:
        raise Rejected(one.args[0], "retries always end", "write `0` for one attempt, or a long duration")
    _retry(one, route, duration=max(0.0, duration(one.args[0])))


def try_interval(one: Property, route: RouteDraft) -> None:
    _retry(one, route, interval=positive_duration(one.args[0]))


def try_count(one: Property, route: RouteDraft) -> None:
    _retry(one, route, count=count(one.args[0], least=1))


def replay_limit(one: Property, route: RouteDraft) -> None:
    """0 is meant here: nothing is kept, so no request with a body is sent twice."""
    arg = one.args[0]
    _retry(one, route, replay_limit=0 if arg.text == "0" else size(arg))


def retry_on(one: Property, route: RouteDraft) -> None:
    """A later line replaces an earlier one. `all_methods` alone leaves the kinds as they are by default."""
    kinds: list[RetryKind] = []
    for arg in one.args:
        if arg.text == ALL_METHODS:
            continue
        if arg.text not in _KINDS:
            known = " ".join(f"`{kind}`" for kind in _KINDS)
            raise Rejected(
                arg,
                f"expected one of {known}, or `{ALL_METHODS}`, found {quote(arg)}",
                did_you_mean(arg.text, (*_KINDS, ALL_METHODS)),
            )
        kinds.append(arg.text)
    is_all = any(arg.text == ALL_METHODS for arg in one.args)
    chosen = tuple(kinds) or RetrySpec().kinds
    _retry(one, route, kinds=chosen, all_methods=is_all)


def retry_budget(one: Property, route: RouteDraft) -> None:
    """`off` is no limit. Without a second argument the least number a second is the default one."""
    share, *least = one.args
    if share.text == OFF:
        if least:
            raise Rejected(least[0], "`retry_budget off` has no minimum: there is no limit")
        _retry(one, route, budget=None)
        return
    default = RetrySpec().budget_least
    number = float(count(least[0], least=0)) if least else default
    _retry(one, route, budget=percent(share, most=1000), budget_least=number)


def _some_time(arg: Token) -> float:
    seconds = duration(arg)
    if seconds < LEAST_SECONDS:
        raise Rejected(arg, f"expected a duration of at least `1ms`, found {quote(arg)}")
    return seconds


def _passive(one: Property, route: RouteDraft, **values: Any) -> None:
    route.failure.note(one.name)
    route.failure.passive = replace(route.failure.passive, **values)


def _retry(one: Property, route: RouteDraft, **values: Any) -> None:
    route.failure.note(one.name)
    route.failure.retry = replace(route.failure.retry, **values)
