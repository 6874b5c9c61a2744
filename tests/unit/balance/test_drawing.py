"""Draws by weight: in shares, and never of one that may not be had."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.balance.drawing import Draw
from unit.balance.samples import make_pool, pool_spec, setting


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 2, 3, 1000)])
def test_by_weight(weights: tuple[int, ...]) -> None:
    backends = make_pool(pool_spec("abcd", weights=weights)).backends
    draw = Draw(setting(backends, weights=weights))
    counts = Counter(draw.one(backends, ()) for _ in range(5000))
    for backend, weight in zip(backends, weights, strict=True):
        part = weight / sum(weights)
        assert abs(counts[backend] - 5000 * part) <= 6 * (5000 * part * (1 - part)) ** 0.5 + 1


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.integers(1, 6), st.data())
def test_never_what_may_not_be_had(weights: list[int], count: int, data: st.DataObject) -> None:
    """Not even where all but the lightest are out, and most draws are in vain."""
    pool = make_pool(pool_spec([f"b{n}" for n in range(len(weights))], weights=weights))
    for backend in pool.backends:
        backend.is_up = data.draw(st.booleans())
    usable = [backend for backend in pool.backends if backend.is_usable]
    tried = data.draw(st.lists(st.sampled_from(usable), unique=True)) if usable else []
    fresh = [backend for backend in usable if backend not in tried]
    if not fresh:
        return
    draw = Draw(setting(pool.backends, weights=tuple(weights)))
    assert draw.one(fresh, tried) in fresh
    several = draw.several(count, fresh, tried)
    assert set(several) <= set(fresh)
    assert len(set(several)) == len(several)
    if count >= len(fresh):
        assert set(several) == set(fresh)


@pytest.mark.parametrize("count", [2, 3])
def test_different_ones(count: int) -> None:
    backends = make_pool(pool_spec("abcdef")).backends
    draw = Draw(setting(backends))
    seen: Counter[str] = Counter()
    for _ in range(600):
        several = draw.several(count, backends, ())
        assert len(set(several)) == count
        seen.update(backend.name for backend in several)
    assert max(seen.values()) < 1.5 * min(seen.values())


def test_one_in_its_slow_start_is_drawn_less_often() -> None:
    backends = make_pool(pool_spec("ab", slow_start=100.0)).backends
    backends[0].cool()
    draw = Draw(setting(backends, slow_start=100.0))
    counts = Counter(draw.one(backends, ()) for _ in range(2000))
    assert 80 < counts[backends[0]] < 290, "a tenth against a whole: 182 of 2000"
