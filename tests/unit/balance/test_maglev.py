"""The table: everybody's share, little movement, no dependence on the order of the file."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from posthouse.balance.maglev import (
    MOST_FOR_WEIGHTS,
    SLOTS_PER_BACKEND,
    TABLE_SIZES,
    build_table,
    table_size,
    weighted_table_size,
)
from unit.balance.samples import make_backends


def seeds(count: int) -> tuple[int, ...]:
    return tuple(backend.seed for backend in make_backends(count))


@pytest.mark.parametrize("count", [1, 33, 500])
def test_shares_differ_by_one_at_most(count: int) -> None:
    shares = Counter(build_table(seeds(count)))
    assert set(shares) == set(range(count))
    assert max(shares.values()) - min(shares.values()) <= 1


@pytest.mark.parametrize("size", TABLE_SIZES)
def test_sizes_are_prime(size: int) -> None:
    assert all(size % divisor for divisor in range(2, int(size**0.5) + 1))


def test_size_on_both_sides_of_each_step() -> None:
    for smaller, larger in pairwise(TABLE_SIZES):
        most = smaller // SLOTS_PER_BACKEND
        assert (table_size(most), table_size(most + 1)) == (smaller, larger)
    most = TABLE_SIZES[-1] // SLOTS_PER_BACKEND
    assert table_size(most) == TABLE_SIZES[-1]
    with pytest.raises(ValueError, match="backends in one pool"):
        table_size(most + 1)


def test_order_moves_nothing() -> None:
    forward = seeds(50)
    backward = forward[::-1]
    by_seed = [forward[index] for index in build_table(forward)]
    assert by_seed == [backward[index] for index in build_table(backward)]


def test_little_moves_when_one_leaves() -> None:
    all_seeds = seeds(100)
    rest = all_seeds[:40] + all_seeds[41:]
    before, after = build_table(all_seeds), build_table(rest)
    moved = sum(all_seeds[old] != rest[new] for old, new in zip(before, after, strict=True) if old != 40)
    assert moved < 0.05 * len(before)


def test_remembered() -> None:
    assert build_table(seeds(40)) is build_table(seeds(40))


@pytest.mark.parametrize("weights", [(1, 2, 3), (1, 1000), (1,) * 50 + (1000,), (5, 7) * 40])
def test_slots_by_weight(weights: tuple[int, ...]) -> None:
    made = seeds(len(weights))
    table = build_table(made, weights)
    assert len(table) == weighted_table_size(weights)
    counts = Counter(table)
    for index, weight in enumerate(weights):
        fair = len(table) * weight / sum(weights)
        assert abs(counts[index] - fair) <= 2 + fair * 0.01


def test_equal_weights_are_no_weights() -> None:
    made = seeds(40)
    assert build_table(made, (7,) * 40) == build_table(made)


def test_another_weight_moves_few_keys() -> None:
    made = seeds(60)
    before, after = build_table(made, (2, *(1, 1) * 29, 1)), build_table(made, (4, *(1, 1) * 29, 1))
    assert len(before) == len(after)
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    assert moved < 0.12 * len(before), "two shares of 63 must, some more do"


def test_everybody_has_a_slot_however_light() -> None:
    weights = (1, *(1000,) * 2000)
    assert weighted_table_size(weights) == MOST_FOR_WEIGHTS == TABLE_SIZES[-2]
    assert weighted_table_size((1, *(1000,) * 20_000)) == TABLE_SIZES[-1], "so many backends need it anyway"
    assert min(Counter(build_table(seeds(100), (1, *(1000,) * 99))).values()) >= 1
