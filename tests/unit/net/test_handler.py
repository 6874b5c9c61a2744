"""What connections need of exchanges and plans: the defaults, and that the real ones offer it."""

from __future__ import annotations

import inspect

import pytest

from posthouse.net.handler import DownstreamTimeouts, Handler, Plan, ResponseHandler
from posthouse.net.timers import NEVER
from posthouse.proxy.exchange import Exchange
from posthouse.proxy.plan import ListenerPlan
from unit.net.fakes import FakeAttempt, FakeExchange, FakePlan


def test_defaults_are_those_of_the_surface() -> None:
    assert DownstreamTimeouts() == DownstreamTimeouts(header=10, body=30, idle=300, read=NEVER, write=NEVER)


def calls(kind: type) -> dict[str, list[str]]:
    """Names of the methods of a class, with those of their arguments."""
    return {
        name: list(inspect.signature(member).parameters)
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        *((Handler, Exchange), (ResponseHandler, Exchange), (Plan, ListenerPlan)),
        *((Handler, FakeExchange), (ResponseHandler, FakeAttempt), (Plan, FakePlan)),
    ],
    ids=lambda kind: kind.__name__,
)
def test_who_offers_what_connections_call(wanted: type, offered: type) -> None:
    """Also the stand-ins of these tests: a call that is new to a Protocol must not pass them by."""
    have = calls(offered)
    assert {name: have.get(name) for name in calls(wanted)} == calls(wanted)
