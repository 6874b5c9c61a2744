"""What a worker is told of backends and sources holds at once, and for what is built later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from posthouse.balance.active_health import State
from posthouse.balance.pool import Pool
from posthouse.config.specs import EndpointSpec, SourceSpec
from posthouse.server.told import Believed, Found, Told
from unit.balance.samples import Request, endpoint, make_pool, pool_spec

SOURCE = SourceSpec("srv", "srv://s", "s", EndpointSpec("http://s", "http", "s", 0))


@pytest.fixture
def told() -> Told:
    return Told()


def usable(pool: Pool) -> list[str]:
    pool.select(Request(), 9.0)
    return [backend.name for backend in pool.usable]


def test_what_checks_say_is_believed(told: Told) -> None:
    pool = make_pool(pool_spec("ab"))
    first = pool.backends[0]
    told.hear(Believed(pool.name, first.key, State.DRAINING, "told us", 3.0), {pool.name: pool})
    assert (first.state, first.reason, first.since) == (State.DRAINING, "told us", 3.0)
    assert usable(pool) == ["http://b:80"]
    told.hear(Believed(pool.name, first.key, State.UP, "status 200", 4.0), {pool.name: pool})
    assert usable(pool) == ["http://a:80", "http://b:80"]


def test_who_is_built_later_is_what_was_told_before(told: Told) -> None:
    """A worker that starts learns it before it has any pool."""
    pool = make_pool(pool_spec("ab"))
    first, second = pool.backends
    for name in (pool.name, "another"):
        told.hear(Believed(name, first.key, State.DOWN, "status 503", 3.0), {})
    told.hear(Believed(pool.name, second.key, State.DOWN, "status 503", 3.0), {})
    told.hear(Believed(pool.name, second.key, State.UP, "status 200", 4.0), {})
    assert usable(pool) == ["http://a:80", "http://b:80"]
    told.checks.recall(pool)
    assert usable(pool) == ["http://b:80"] and first.reason == "status 503"
    assert repr(told.checks) == "<ToldChecks not_up=2>"


def test_backends_that_are_not_here_are_nobodys(told: Told) -> None:
    pool = make_pool(pool_spec("ab"))
    told.hear(Believed(pool.name, ("http://x:80", 1), State.DOWN, "", 3.0), {pool.name: pool})
    assert len(usable(pool)) == 2


def test_members_are_taken_over_by_who_follows(told: Told) -> None:
    spec = replace(pool_spec("a"), sources=(replace(SOURCE, position=1),))
    assert told.sources.expand(spec).endpoints == spec.endpoints
    told.hear(Found(SOURCE, (endpoint("m"), endpoint("n"))), {})
    assert [one.host for one in told.sources.expand(spec).endpoints] == ["a", "m", "n"]
    changed: list[SourceSpec] = []
    told.sources.follow({changed.append: spec.sources})
    told.hear(Found(SOURCE, (endpoint("n"),)), {})
    assert changed == [SOURCE]
    assert [one.host for one in told.sources.expand(spec).endpoints] == ["a", "n"]


def test_what_nobody_follows_is_forgotten(told: Told) -> None:
    other = replace(SOURCE, text="srv://t", name="t")
    for source in (SOURCE, other):
        told.hear(Found(source, (endpoint("m"),)), {})
    told.sources.follow({lambda source: None: [SOURCE]})
    assert repr(told.sources) == "<ToldSources 1>"
    told.hear(Found(other, (endpoint("m"),)), {})
    told.sources.drop_unfollowed()
    assert repr(told.sources) == "<ToldSources 1>", "it was for a configuration that came to nothing"
