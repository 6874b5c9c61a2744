"""`policy round_robin`."""

from __future__ import annotations

from collections import Counter

from posthouse.balance.policies.round_robin import RoundRobin
from posthouse.balance.pool import Pool
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def ask(pool: Pool, times: int) -> str:
    """The hosts chosen, one letter each."""
    chosen = [pool.select(Request(), 0.0) for _ in range(times)]
    return "".join(backend.endpoint.host for backend in chosen if backend is not None)


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: RoundRobin((), setting), "even")


def test_one_after_the_other() -> None:
    pool = make_pool(pool_spec("abc", "round_robin"))
    chosen = ask(pool, 9)
    assert chosen[:3] in "abcab"
    assert chosen == chosen[:3] * 3


def test_starts_anywhere() -> None:
    starts = Counter(ask(make_pool(pool_spec("abc", "round_robin"), seed), 1) for seed in range(60))
    assert set(starts) == {"a", "b", "c"}


def test_passes_over_who_cannot_be_used_without_favouring_the_next() -> None:
    pool = make_pool(pool_spec("abcd", "round_robin"))
    while ask(pool, 1) != "d":
        pass
    pool.backends[1].is_up = False
    assert ask(pool, 7) == "acdacda"
    pool.backends[1].is_up = True
    assert ask(pool, 5) == "bcdab"


def test_fair_while_one_flaps() -> None:
    """A count taken modulo the number of usable ones would favour some."""
    pool = make_pool(pool_spec("abcd", "round_robin"))
    counts: Counter[str] = Counter()
    for turn in range(400):
        pool.backends[3].is_up = turn % 2 == 0
        counts.update(ask(pool, 1))
    assert max(counts[host] for host in "abc") - min(counts[host] for host in "abc") <= 2


def test_two_pools_do_not_share_their_turn() -> None:
    one, two = (make_pool(pool_spec("abc", "round_robin"), seed=5) for _ in range(2))
    assert ask(one, 4) == ask(two, 4)
