"""The specs are frozen, and their defaults are those that users are promised."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from posthouse.config import specs
from posthouse.config.specs import (
    EndpointSpec,
    LimitsSpec,
    LogSpec,
    PassiveSpec,
    PolicySpec,
    PoolSpec,
    RetrySpec,
    SiteSpec,
    TimeoutsSpec,
    TLSSpec,
    UpstreamTimeouts,
)
from posthouse.errors import Place

ALL = [one for one in vars(specs).values() if is_dataclass(one) and one.__module__ == specs.__name__]


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: str(spec.__name__))
def test_a_spec_is_frozen_and_knows_its_place_without_comparing_it(spec: type) -> None:
    assert spec.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert not hasattr(spec, "__dict__") or "__slots__" in vars(spec)
    assert [
        one.name for one in fields(spec) if one.name in ("place", "places", "notices") and one.compare
    ] == []


def test_two_sites_are_equal_wherever_they_were_written() -> None:
    one = SiteSpec((), place=Place("a", 1, 1))
    assert one == SiteSpec((), place=Place("b", 2, 2))
    with pytest.raises(FrozenInstanceError):
        one.bind = "x"  # type: ignore[misc]


def test_the_defaults_of_a_pool() -> None:
    pool = PoolSpec("p", ())
    assert (pool.policy, pool.max_conns, pool.keepalive) == (PolicySpec("random"), 0, 64)
    assert pool.passive == PassiveSpec(fail_timeout=0.0, max_fails=1)
    assert pool.retry == RetrySpec(duration=0.0, interval=0.25, replay_limit=1 << 20)
    assert pool.tls == TLSSpec(insecure_skip_verify=False, ca_certificates=(), client=())
    assert pool.timeouts == UpstreamTimeouts(30.0, 300.0, 300.0, 3600.0, None, 0.3)


def test_the_defaults_of_a_site() -> None:
    site = SiteSpec(())
    limits, timeouts = site.limits, site.timeouts
    assert (limits.header, limits.fields, limits.body, limits.connections) == (64 << 10, 128, (), None)
    assert (timeouts.header, timeouts.body, timeouts.idle) == (10.0, 30.0, 300.0)
    assert (timeouts.read, timeouts.write) == (None, None)
    assert limits == LimitsSpec() and timeouts == TimeoutsSpec()
    assert LogSpec() == LogSpec("/", "access.log", "common")


def test_credentials_are_not_in_a_repr() -> None:
    assert "secret" not in repr(EndpointSpec("http://a", "http", "a", 80, credentials="user:secret"))
