"""What is ready in a large pool follows the changes; it is always what looking at everybody would find."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.balance.pool import Pool
from posthouse.balance.ready import FOLLOW_ABOVE
from posthouse.balance.watch import REMEMBERED_CHANGES
from unit.balance.samples import Request, make_pool, pool_spec

MANY = [f"b{number}" for number in range(FOLLOW_ABOVE + 1)]


def expected(pool: Pool) -> list[str]:
    primaries = [b.name for b in pool.backends if b.is_usable and b.endpoint.role == "primary"]
    return primaries or [b.name for b in pool.backends if b.is_usable]


def ready(pool: Pool) -> list[str]:
    pool.select(Request(), 0.0)
    return [backend.name for backend in pool.usable]


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([5, FOLLOW_ABOVE, FOLLOW_ABOVE + 1]),
    st.integers(0, 70),
    st.lists(st.lists(st.tuples(st.integers(0, 64), st.booleans()), max_size=90), max_size=8),
)
def test_follows(size: int, fallbacks: int, rounds: list[list[tuple[int, bool]]]) -> None:
    pool = make_pool(pool_spec(MANY[:size], fallbacks=min(fallbacks, size)))
    for changes in rounds:
        for place, is_up in changes:
            pool.backends[place % size].is_up = is_up
        assert ready(pool) == expected(pool)


def test_more_changes_than_are_remembered() -> None:
    pool = make_pool(pool_spec(MANY))
    for _ in range(REMEMBERED_CHANGES):
        pool.backends[0].is_up = not pool.backends[0].is_up
    pool.backends[1].is_up = False
    assert ready(pool) == [name for name in expected(pool) if name != pool.backends[1].name]


def test_changes_of_others_that_share_the_watch() -> None:
    old = make_pool(pool_spec(MANY))
    new = make_pool(pool_spec([*MANY[1:], "more"]), previous=old)
    old.backends[0].is_up = False
    new.backends[-1].is_up = False
    assert ready(new) == expected(new) and ready(old) == expected(old)


def test_introduces_itself() -> None:
    pool = make_pool(pool_spec("abc", fallbacks=1))
    assert repr(pool._ready) == "<Ready 2 + 1 of 3>"
