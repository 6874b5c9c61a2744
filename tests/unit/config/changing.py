"""Configurations that are alike, and some that are not: what the tests of changes draw from."""

from __future__ import annotations

from hypothesis import strategies as st

from posthouse.config.specs import (
    AddressSpec,
    Config,
    EndpointSpec,
    HeaderRule,
    HeaderScopeSpec,
    PolicySpec,
    PoolSpec,
    RouteSpec,
    SiteSpec,
)
from posthouse.errors import Notice, Place

places = st.builds(Place, st.just("f"), st.integers(1, 3), st.integers(1, 3))


def address(host: str, port: int, place: Place) -> AddressSpec:
    return AddressSpec(f"http://{host}:{port}", "http", host, port, "", place)


def endpoint(port: int, secret: str, place: Place) -> EndpointSpec:
    return EndpointSpec(
        f"http://localhost:{port}", "http", "localhost", port, credentials=secret, place=place
    )


@st.composite
def sites(draw: st.DrawFn) -> SiteSpec:
    """One of few hosts and ports, so that two files have sites in common."""
    place = draw(places)
    hosts = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=2, unique=True))
    port = draw(st.sampled_from([0, 80, 81]))
    routes = [
        RouteSpec(
            base,
            PoolSpec(
                f"{hosts[0]}:{port} {base}",
                tuple(
                    endpoint(number, draw(st.sampled_from(["", "u:p"])), place)
                    for number in draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
                ),
                PolicySpec(draw(st.sampled_from(["random", "first"])), (), place),
                max_conns=draw(st.integers(0, 1)),
            ),
            place=place,
        )
        for base in draw(st.lists(st.sampled_from(["/", "/x"]), max_size=2, unique=True))
    ]
    rules = (HeaderScopeSpec("/", (HeaderRule("set", "X", draw(st.sampled_from("12")), place),), place),)
    bind = draw(st.sampled_from(["", "::1"]))
    return SiteSpec(
        tuple(address(host, port, place) for host in hosts), tuple(routes), rules, bind=bind, place=place
    )


configs = st.builds(
    Config,
    st.lists(sites(), max_size=5).map(tuple),
    st.lists(st.builds(Notice, places, st.just("n")), max_size=1).map(tuple),
)
