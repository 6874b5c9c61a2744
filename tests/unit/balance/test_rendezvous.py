"""Same key, same backend; next best otherwise; never a miss. Both ways, the weighing and the table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.balance.backend import Backend
from posthouse.balance.rendezvous import TABLE_ABOVE, Placement, heaviest, place_on
from posthouse.balance.stable_hash import stable_hash
from unit.balance.samples import make_backends, setting

SIZES = [2, 10, TABLE_ABOVE, TABLE_ABOVE + 1, 100]
KEYS = [b"/item/%d" % number for number in range(1000)]


def usable_of(backends: list[Backend]) -> list[Backend]:
    return [backend for backend in backends if backend.is_usable]


def homes(placement: Placement, backends: list[Backend]) -> list[Backend]:
    usable = usable_of(backends)
    return [placement.find(key, usable, ()) for key in KEYS]


def test_which_way_at_which_size() -> None:
    def ways(count: int, **options: Any) -> list[str]:
        made = setting(make_backends(count), **options)
        return [type(finder).__name__ for finder in place_on(made)._finders]

    assert ways(TABLE_ABOVE) == ["Rendezvous"]
    assert ways(TABLE_ABOVE + 1)[0] == "Table"
    assert ways(2, weights=(1, 2))[0] == "WeightedRendezvous"
    assert ways(2, slow_start=1.0)[0] == "WeightedRendezvous"


def test_placement_is_pinned() -> None:
    """What a release places differently moves every client of every site: this may not change by accident."""
    small, large = make_backends(10), make_backends(100)
    weighed = [heaviest(stable_hash(key), small) for key in KEYS[:6]]
    looked_up = [place_on(setting(large)).find(key, large, ()) for key in KEYS[:6]]
    assert " ".join(backend.endpoint.host for backend in weighed) == "b4 b4 b6 b1 b6 b9"
    assert " ".join(backend.endpoint.host for backend in looked_up) == "b83 b66 b18 b89 b48 b34"


@pytest.mark.parametrize("size", SIZES)
def test_only_the_keys_of_the_lost_one_move_and_they_come_back(size: int) -> None:
    backends = make_backends(size)
    placement = place_on(setting(backends))
    before = homes(placement, backends)
    lost = backends[size // 2]
    lost.is_up = False
    during = homes(placement, backends)
    for old, new in zip(before, during, strict=True):
        assert new is not lost
        assert new is old or old is lost
    lost.is_up = True
    assert homes(placement, backends) == before


@pytest.mark.parametrize("size", SIZES)
def test_the_keys_of_the_lost_one_spread(size: int) -> None:
    backends = make_backends(size)
    placement = place_on(setting(backends))
    keys = [b"%d" % number for number in range(400 * size)] if size <= 33 else KEYS * 4
    mine = [key for key in keys if placement.find(key, backends, ()) is backends[0]]
    backends[0].is_up = False
    heirs = Counter(placement.find(key, backends[1:], ()) for key in mine)
    assert len(heirs) >= min(size - 1, len(mine) // 4)
    assert max(heirs.values()) <= 3 * len(mine) / (size - 1) + 5


def test_in_a_large_pool_they_spread_over_more_than_the_neighbours_in_the_table() -> None:
    backends = make_backends(600)
    placement = place_on(setting(backends))
    keys = [b"%d" % number for number in range(30_000)]
    mine = [key for key in keys if placement.find(key, backends, ()) is backends[0]]
    backends[0].is_up = False
    heirs = {placement.find(key, backends[1:], ()) for key in mine}
    assert len(heirs) > 0.8 * len(mine) > 32, "27 slots have 27 neighbours"


def test_the_few_that_are_left_in_a_large_pool_share_alike() -> None:
    """Most walks give up before they find one of three in three hundred."""
    backends = make_backends(300)
    for backend in backends[3:]:
        backend.is_up = False
    counts = Counter(homes(place_on(setting(backends)), backends))
    assert all(250 < counts[backend] < 420 for backend in backends[:3])


@pytest.mark.parametrize("size", SIZES)
def test_a_tried_one_is_as_good_as_down(size: int) -> None:
    backends = make_backends(size)
    placement = place_on(setting(backends))
    for key in KEYS[:100]:
        home = placement.find(key, backends, ())
        rest = [backend for backend in backends if backend is not home]
        second = placement.find(key, rest, [home])
        home.is_up = False
        assert placement.find(key, rest, ()) is second is not home
        home.is_up = True


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([3, 40]), st.data())
def test_never_a_miss(size: int, data: st.DataObject) -> None:
    backends = make_backends(size)
    up = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    for number, backend in enumerate(backends):
        backend.is_up = number in up
    usable = usable_of(backends)
    tried = data.draw(st.lists(st.sampled_from(usable), max_size=len(usable) - 1, unique=True))
    fresh = [backend for backend in usable if backend not in tried]
    placement = place_on(setting(backends))
    for key in KEYS[:50]:
        assert placement.find(key, fresh, tried) in fresh


@pytest.mark.parametrize("size", [10, 100])
def test_order_of_the_file_does_not_matter(size: int) -> None:
    backends = make_backends(size)
    names = [home.name for home in homes(place_on(setting(backends)), backends)]
    backends.reverse()
    assert [home.name for home in homes(place_on(setting(backends)), backends)] == names
