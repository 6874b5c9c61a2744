"""Ledger: what several workers count, against a naive list of when and what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.ledger import PLACES, SHEET_CELLS, Ledger
from unit.balance.samples import sheets

WINDOW = 10.0


def ledgers(workers: int = 2, kinds: int = 2) -> list[Ledger]:
    return [Ledger(sheet, kinds, WINDOW) for sheet in sheets(workers)]


def count(ledger: Ledger, now: float, kind: int = 0) -> None:
    ledger.cells[ledger.slot(now) + kind] += 1


def test_everybody_reads_what_all_have_counted() -> None:
    here, there = ledgers()
    count(here, 5.0)
    count(there, 5.0, 1)
    count(there, 6.5)
    assert here.total(7.0) == there.total(7.0) == [2, 1]


@pytest.mark.parametrize(("pause", "total"), [(10.0, 1), (10.999, 1), (11.0, 0), (1e6, 0)])
def test_what_is_older_goes_slot_by_slot(pause: float, total: int) -> None:
    here, there = ledgers()
    count(there, 100.0)
    assert here.total(100.0 + pause) == [total, 0]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.3, 1.0, 4.0, 9.0, 30.0]), st.integers(0, 3)),
        max_size=60,
    )
)
def test_the_window_is_as_long_as_it_says_give_or_take_a_slot(events: list[tuple[int, float, int]]) -> None:
    all_of_them = ledgers(3, 4)
    now, seen = 0.0, []
    for worker, pause, kind in events:
        now += pause
        count(all_of_them[worker], now, kind)
        seen.append((now, kind))
        total = all_of_them[(worker + 1) % 3].total(now)
        for each in range(4):
            least = sum(kind == each for at, kind in seen if at > now - WINDOW)
            most = sum(kind == each for at, kind in seen if at > now - WINDOW * 1.1 - 1e-9)
            assert least <= total[each] <= most


def test_who_is_late_counts_now() -> None:
    """A request is counted when its first attempt ends, by the time when that began."""
    (here,) = ledgers(1)
    count(here, 50.0)
    count(here, 20.0)
    assert here.total(50.0) == [2, 0]


def test_what_is_forgotten_is_forgotten_of_all() -> None:
    here, there = ledgers()
    count(here, 5.5)
    count(there, 4.0)
    count(there, 5.5)
    here.forget(5.6)
    assert here.total(5.7) == [1, 0], "who shares the slot forgets it itself"
    there.forget(5.6)
    count(here, 5.8)
    assert here.total(6.0) == there.total(6.0) == [1, 0]


def test_another_window_on_the_same_sheet_takes_nothing_over() -> None:
    (sheet,) = sheets(1)
    long = Ledger(sheet, 2, 100.0)
    count(long, 500.0)
    short = Ledger(sheet, 2, 10.0)
    assert short.total(500.0) == [0, 0]
    count(short, 500.0)
    assert short.total(500.0) == [1, 0] and Ledger(sheet, 2, 100.0).total(500.0) in ([0, 0], [1, 0])


def test_four_counts_and_three_cells_for_trials_have_room() -> None:
    assert PLACES * (1 + 4) + 3 <= SHEET_CELLS
