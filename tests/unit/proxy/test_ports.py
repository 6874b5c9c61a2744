"""The ports: net's connections and the server's runtime are what the request's path asks for, and so are the fakes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from posthouse.net import flow
from posthouse.net import timers as net_timers
from posthouse.net.downstream_h1 import DownstreamH1
from posthouse.net.handler import Handler, ResponseHandler
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.proxy import ports, tunnel
from posthouse.proxy.exchange import Exchange
from posthouse.server.runtime import Runtime
from unit.proxy.peers import Client, Connection
from unit.proxy.playbook import as_ports
from unit.proxy.world import World


def methods(protocol: Any) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(value)
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("protocol", "made"),
    [
        (ports.Stream, DownstreamH1),
        (ports.Stream, Client),
        (ports.Upstream, UpstreamH1),
        (ports.Upstream, Connection),
        (Handler, Exchange),
        (ResponseHandler, Exchange),
        (ports.Timers, net_timers.Timers),
        (tunnel.Timers, net_timers.Timers),
    ],
)
def test_what_is_asked_for_is_there_with_the_same_arguments(protocol: Any, made: Any) -> None:
    """Both sides are typed against their own protocols; this is where those meet."""
    for name, wanted in methods(protocol).items():
        offered = inspect.signature(getattr(made, name))
        assert len(offered.parameters) == len(wanted.parameters), name
        for one, other in zip(wanted.parameters.values(), offered.parameters.values(), strict=True):
            if one.kind is inspect.Parameter.KEYWORD_ONLY:
                assert other.name == one.name, name


def test_a_worker_lends_what_exchanges_need() -> None:
    for name in methods(ports.Services):
        assert hasattr(Runtime, name) or name == "call_later", name


def test_the_words_are_the_same_on_both_sides() -> None:
    from posthouse.net import downstream_answer

    assert (ports.NO_BODY, ports.SIZED, ports.STREAMED) == (
        downstream_answer.NO_BODY,
        downstream_answer.SIZED,
        downstream_answer.STREAMED,
    )
    assert (ports.PEER_FULL, ports.NO_PEER, ports.CODING) == (flow.PEER_FULL, flow.NO_PEER, flow.CODING)
    assert ports.PEER_FULL | ports.NO_PEER | ports.CODING | flow.PIPELINED == 15
    assert ports.NEVER == net_timers.NEVER == tunnel.NEVER


def test_the_fakes_are_what_the_path_asks_for() -> None:
    world = World()
    assert as_ports(world, Client(world), Connection(world, "a"))
