"""Pools: who is chosen, what is remembered, what stays over a reload."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.policies import POLICIES
from posthouse.balance.pool import Pool, build_pool
from posthouse.balance.slow_start import FLOOR
from posthouse.config.specs import PassiveSpec, PoolSpec, SourceSpec
from posthouse.errors import ConfigError, FailureKind
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import Request, endpoint, make_pool, pool_spec

A_SECOND = PassiveSpec(fail_timeout=1.0)


def select(pool: Pool, now: float = 0.0, *tried: Backend) -> str | None:
    """The host chosen."""
    backend = pool.select(Request(), now, tried)
    return None if backend is None else backend.endpoint.host


def test_one_host_skips_the_policy() -> None:
    pool = make_pool(pool_spec("a", "header", "X-Missing"))
    assert select(pool) == "a"
    assert select(pool, 0.0, pool.backends[0]) == "a", "tried, but there is no other"
    pool.backends[0].is_up = False
    assert select(pool) is None


def test_no_hosts() -> None:
    for policy in POLICIES:
        args = ("k",) if policy in ("header", "query", "cookie") else ()
        pool = make_pool(pool_spec([], policy, *args))
        assert select(pool) is None
        assert pool.why_not(0.0) is FailureKind.NO_BACKEND
        assert pool.retry_after(0.0) is None


def test_ready_tuple_is_made_anew_only_when_something_changed() -> None:
    pool = make_pool(pool_spec("abc", max_conns=2))
    select(pool)
    ready = pool.usable
    backend = pool.backends[0]
    pool.acquire(backend)
    pool.release(backend)
    select(pool, 100.0)
    assert pool.usable is ready
    pool.acquire(backend)
    pool.acquire(backend)
    select(pool, 100.0)
    assert pool.usable == pool.backends[1:]


def test_max_conns_is_exact() -> None:
    pool = make_pool(pool_spec("ab", max_conns=2))
    for _ in range(4):
        backend = pool.select(Request(), 0.0)
        assert backend is not None
        pool.acquire(backend)
    assert [backend.in_flight for backend in pool.backends] == [2, 2]
    assert select(pool) is None
    assert pool.why_not(0.0) is FailureKind.FULL
    with pytest.raises(RuntimeError, match="full"):
        pool.acquire(pool.backends[0])
    pool.release(pool.backends[1])
    assert select(pool) == "b"


def test_failures_expire_one_by_one() -> None:
    pool = make_pool(pool_spec("ab", passive=PassiveSpec(fail_timeout=1.0, max_fails=2)))
    first = pool.backends[0]
    pool.fail(first, 0.0)
    assert select(pool, 0.6) == "a"
    pool.fail(first, 0.7)
    assert [select(pool, now) for now in (0.7, 0.999, 1.0, 1.5)] == ["b", "b", "a", "a"]


def test_prefers_untried() -> None:
    pool = make_pool(pool_spec("abc"))
    a, b, c = pool.backends
    assert select(pool, 0.0, a) == "b"
    assert select(pool, 0.0, a, b) == "c"
    assert pool.has_untried(0.0, [a, b])
    assert select(pool, 0.0, a, b, c) == "a", "all tried: begin again"
    assert not pool.has_untried(0.0, [a, b, c])
    c.is_up = False
    assert select(pool, 0.0, a, b) == "a"
    assert not pool.has_untried(0.0, [a, b])


@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("policy", ["first", "ip_hash", "random", "round_robin", "least_conn"])
def test_retries_go_round(policy: str, size: int) -> None:
    """Also when all were tried: the second may be back while the favourite stays dead."""
    pool = make_pool(pool_spec([f"b{number}" for number in range(size)], policy))
    tried: list[Backend] = []
    for _ in range(3 * size):
        backend = pool.select(Request(), 0.0, tried)
        assert backend is not None
        tried.append(backend)
    for start in (0, size, 2 * size):
        assert set(tried[start : start + size]) == set(pool.backends)


def test_has_untried_sees_marks_fall() -> None:
    pool = make_pool(pool_spec("ab", passive=A_SECOND))
    pool.fail(pool.backends[1], 0.0)
    assert not pool.has_untried(0.9, [pool.backends[0]])
    assert pool.has_untried(1.0, [pool.backends[0]])


def test_why_not() -> None:
    pool = make_pool(pool_spec("ab", max_conns=1, passive=A_SECOND))
    a, b = pool.backends
    pool.acquire(a)
    pool.fail(a, 0.0)
    b.is_up = False
    assert pool.why_not(0.5) is FailureKind.NO_BACKEND, "the full one is marked besides"
    assert pool.why_not(1.0) is FailureKind.FULL
    a.is_up = False
    assert pool.why_not(1.0) is FailureKind.NO_BACKEND


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ("up up", "every backend is left out because of failures"),
        ("down down", "every backend is down (health checks)"),
        ("draining draining", "every backend is draining (health checks)"),
        ("down draining", "every backend is down or draining (health checks)"),
        ("down up", "every backend is down (health checks), or left out because of failures"),
    ],
)
def test_the_reason_for_the_log(states: str, reason: str) -> None:
    pool = make_pool(pool_spec("ab", passive=A_SECOND))
    for backend, state in zip(pool.backends, states.split(), strict=True):
        backend.believe(State(state))
        pool.fail(backend, 0.0)
    assert select(pool, 0.5) is None
    assert pool.explain(pool.why_not(0.5)) == reason


def test_the_reason_of_full_and_of_empty_pools() -> None:
    assert make_pool(pool_spec("a")).explain(FailureKind.FULL) == "every backend that is up is at max_conns"
    assert make_pool(pool_spec([])).explain(FailureKind.NO_BACKEND) == "there is no backend"


def test_a_draining_backend_gets_nothing_new() -> None:
    pool = make_pool(pool_spec("ab"))
    assert select(pool) == "a"
    pool.backends[0].believe(State.DRAINING)
    assert select(pool) == "b"
    pool.backends[1].believe(State.DRAINING)
    assert select(pool) is None and pool.why_not(0.0) is FailureKind.NO_BACKEND
    pool.backends[0].believe(State.UP)
    assert select(pool) == "a"


def test_retry_after_is_when_the_first_mark_falls() -> None:
    pool = make_pool(pool_spec("abc", passive=PassiveSpec(fail_timeout=10.0, max_fails=2)))
    a, b, c = pool.backends
    c.is_up = False
    assert pool.retry_after(0.0) is None
    for backend, now in ((b, 2.0), (b, 3.0), (a, 4.0), (a, 5.0), (c, 0.0), (c, 0.0)):
        pool.fail(backend, now)
    assert pool.retry_after(5.0) == 7.0, "b's first failure expires at 12; c is down anyway"
    b.is_up = False
    assert pool.retry_after(5.0) == 9.0
    assert pool.retry_after(14.0) is None


def test_introduces_itself() -> None:
    pool = make_pool(pool_spec("abc", "round_robin"))
    assert repr(pool) == "<Pool 'site /' round_robin 3 of 3 usable>"


@pytest.mark.parametrize("policy", POLICIES)
def test_same_seed_same_choices(policy: str) -> None:
    args = ("key",) if policy in ("header", "query", "cookie") else ()
    answers = []
    for _ in range(2):
        pool = make_pool(pool_spec("abcdef", policy, *args), seed=42)
        answers.append([repr(pool.select(SampleChoice(n), 0.0)) for n in range(50)])
    assert answers[0] == answers[1]


# --- building and reloading ------------------------------------------------------------------------------


def test_same_address_twice_is_two_backends() -> None:
    pool = make_pool(pool_spec(["a", "b", "a"]))
    assert [backend.name for backend in pool.backends] == ["http://a:80", "http://b:80", "http://a:80#2"]
    assert len(set(pool.backends)) == 3


def test_backends_that_stay_keep_their_state() -> None:
    old = make_pool(pool_spec(["a", "b", "a"], passive=PassiveSpec(fail_timeout=60.0)))
    for backend in old.backends:
        old.acquire(backend)
    old.fail(old.backends[0], 0.0)
    old.backends[1].is_up = False
    new = make_pool(pool_spec(["c", "a", "a", "b"], passive=PassiveSpec(fail_timeout=60.0)), previous=old)
    assert new.backends[1:] == (old.backends[0], old.backends[2], old.backends[1])
    assert [backend.in_flight for backend in new.backends] == [0, 1, 1, 1]
    assert [select(new, now) for now in (1.0, 59.9, 60.0)] == ["c", "c", "c"]
    assert new.usable == (new.backends[0], new.backends[1], new.backends[2])


def test_new_settings_come_into_force_with_start() -> None:
    old = make_pool(pool_spec("ab", max_conns=1))
    backend = old.backends[0]
    new = build_pool(pool_spec("ab", max_conns=2), random.Random(1), old)
    assert backend.max_conns == 1, "a build that is thrown away has changed nothing"
    new.start()
    assert backend.max_conns == 2
    unlimited = build_pool(pool_spec("ab"), random.Random(1), new)
    assert select(unlimited) == "a"
    assert backend.max_conns == 0, "a pool that is asked has started"


def test_new_spec_of_an_endpoint_reaches_its_backend() -> None:
    old = make_pool(pool_spec("a"))
    spec = pool_spec("a")
    endpoint = type(spec.endpoints[0])("http://a:80", "http", "a", 80, credentials="jo:secret")
    new = make_pool(PoolSpec("site /", (endpoint,)), previous=old)
    assert new.backends[0] is old.backends[0]
    assert new.backends[0].endpoint.credentials == "jo:secret"


def test_what_happens_in_one_generation_is_seen_by_the_other() -> None:
    old = make_pool(pool_spec("ab", max_conns=1, passive=A_SECOND))
    new = make_pool(pool_spec("bca", max_conns=1, passive=A_SECOND), previous=old)
    a = old.backends[0]
    assert select(new) == "b"
    old.acquire(a)
    assert select(old) == "b"
    assert a not in new.usable or select(new) == "b"
    new.acquire(new.backends[0])
    new.acquire(new.backends[1])
    assert select(new) is None and select(old) is None
    old.release(a)
    assert select(new) == "a"
    old.fail(a, 1.0)
    assert [select(new, now) for now in (1.0, 1.9, 2.0)] == [None, None, "a"]
    assert select(old, 2.0) == "a"


def test_a_policy_that_cannot_be_used_fails_the_build() -> None:
    old = make_pool(pool_spec("ab"))
    with pytest.raises(ConfigError, match="unknown policy"):
        build_pool(pool_spec("ab", "rond_robin"), random.Random(1), old)
    assert select(old) == "a"


# --- fallbacks, limits of their own, slow starts ----------------------------------------------------------


def test_fallbacks_only_when_no_primary_can_be_used() -> None:
    pool = make_pool(pool_spec("abcd", "round_robin", fallbacks=2))
    assert {select(pool) for _ in range(8)} == {"a", "b"}
    pool.backends[0].is_up = False
    assert {select(pool) for _ in range(8)} == {"b"}
    pool.backends[1].is_up = False
    assert {select(pool) for _ in range(8)} == {"c", "d"}
    pool.backends[0].is_up = True
    assert {select(pool) for _ in range(8)} == {"a"}


def test_a_retry_goes_to_a_fallback_when_all_primaries_were_tried() -> None:
    pool = make_pool(pool_spec("abc", fallbacks=1))
    a, b, c = pool.backends
    assert select(pool, 0.0, a) == "b"
    assert pool.has_untried(0.0, [a, b])
    assert select(pool, 0.0, a, b) == "c"
    assert not pool.has_untried(0.0, [a, b, c])
    assert select(pool, 0.0, a, b, c) == "a", "all as often: primaries first"
    c.is_up = False
    assert select(pool, 0.0, a, b) == "a" and not pool.has_untried(0.0, [a, b])


def test_a_limit_of_its_own_goes_before_the_pools() -> None:
    spec = pool_spec("abc", max_conns=2)
    own = tuple(
        replace(one, max_conns=limit) for one, limit in zip(spec.endpoints, (1, 0, None), strict=True)
    )
    pool = make_pool(replace(spec, endpoints=own))
    assert [backend.max_conns for backend in pool.backends] == [1, 0, 2]


def test_a_slow_start_begins_when_it_comes_back() -> None:
    pool = make_pool(pool_spec("abc", slow_start=10.0, passive=A_SECOND))
    a, b, c = pool.backends
    assert [backend.warmth for backend in pool.backends] == [1.0] * 3, "all begin together"
    a.is_up = False
    a.is_up = True
    pool.fail(b, 5.0)
    select(pool, 5.0)
    assert (a.warmth, b.warmth, c.warmth) == (FLOOR, 1.0, 1.0), "time begins with the first look"
    select(pool, 6.0)
    assert (b.is_usable, b.warmth, a.warmth > FLOOR) == (True, FLOOR, True), "a mark that falls"
    select(pool, 14.9)
    assert FLOOR < b.warmth < a.warmth < 1.0
    select(pool, 15.1)
    assert b.warmth < a.warmth == 1.0, "a step later: nobody looks more often"
    select(pool, 16.2)
    assert b.warmth == 1.0 and pool._watch.expires == float("inf")


def test_a_limit_that_was_reached_is_no_reason_for_a_slow_start() -> None:
    pool = make_pool(pool_spec("ab", slow_start=10.0, max_conns=1))
    pool.acquire(pool.backends[0])
    pool.release(pool.backends[0])
    select(pool, 1.0)
    assert pool.backends[0].warmth == 1.0


def test_a_reload_warms_what_is_new_and_disturbs_nothing() -> None:
    old = make_pool(pool_spec("ab", slow_start=10.0))
    old.backends[0].is_up = False
    old.backends[0].is_up = True
    select(old, 0.0)
    select(old, 5.0)
    halfway = old.backends[0].warmth
    new = make_pool(pool_spec("abc", slow_start=10.0, weights=(4,)), previous=old)
    assert [backend.warmth for backend in new.backends] == [halfway, 1.0, FLOOR]
    assert new.backends[0].share == 4 * halfway
    off = make_pool(pool_spec("abcd"), previous=new)
    select(off, 6.0)
    assert [backend.warmth for backend in off.backends] == [1.0] * 4


def test_first_lets_requests_go_by_in_a_slow_start() -> None:
    pool = make_pool(pool_spec("ab", slow_start=100.0))
    pool.backends[0].is_up = False
    pool.backends[0].is_up = True
    counts = Counter(select(pool, 0.0) for _ in range(1000))
    assert 40 < counts["a"] < 180, "a tenth"
    pool.backends[1].is_up = False
    assert select(pool, 0.0) == "a", "but never into the void"


# --- TLS identities --------------------------------------------------------------------------------------


def tls_pool(tls: object, previous: Pool | None = None) -> Pool:
    spec = pool_spec("ab")
    secure = replace(spec.endpoints[0], scheme="https")
    return build_pool(replace(spec, endpoints=(secure, spec.endpoints[1])), random.Random(1), previous, tls)


def test_an_identity_comes_into_force_with_start_and_for_https_only() -> None:
    old = tls_pool("old")
    old.start()
    secure, plain = old.backends
    assert (secure.tls, plain.tls) == ("old", None)
    new = tls_pool("new", old)
    assert new.backends == old.backends and secure.tls == "old"
    new.start()
    assert (secure.tls, plain.tls) == ("new", None)


def test_connections_of_another_identity_lie_in_another_lane() -> None:
    old = tls_pool("old")
    secure, plain = old.backends
    assert old.lanes() == [(secure, "old"), plain]
    assert tls_pool("new", old).lanes() == [(secure, "new"), plain]


def test_a_pool_whose_sources_found_nothing_says_so() -> None:
    source = SourceSpec("srv", "srv://web.test", "web.test", endpoint("web.test"))
    pool = make_pool(replace(pool_spec(""), sources=(source,)))
    assert pool.select(Request(), 0.0) is None
    assert pool.explain(pool.why_not(0.0)) == "no backend was found: srv://web.test"


def test_a_backend_that_is_to_be_verified_for_another_name_is_another_one() -> None:
    spec = pool_spec(("a", "b"))
    first = make_pool(spec)
    a, b = spec.endpoints
    second = make_pool(replace(spec, endpoints=(replace(a, server_name="x.test"), b)), previous=first)
    assert second.backends[0] is not first.backends[0]
    assert second.backends[1] is first.backends[1]
