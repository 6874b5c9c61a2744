from __future__ import annotations

import pickle
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.observe.families import NO_ROUTE, REMOVED_SITE, UNKNOWN_SITE
from posthouse.observe.snapshot import Histogram, Pieces, Rows, Snapshot, cut, fold_removed, lasting, merge
from unit.observe.snapshots import counted, snapshots, values


@given(st.lists(snapshots(), max_size=4), st.randoms())
def test_the_order_of_answers_makes_no_difference(all: list[Snapshot], random: st.DataObject) -> None:
    shuffled = list(all)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert values(merge(all)) == values(merge(shuffled))
    assert values(merge([merge(all[:2]), merge(all[2:])])) == values(merge(all))
    assert values(merge([Snapshot(), *all])) == values(merge(all))


def test_each_family_has_its_rule() -> None:
    one = Snapshot(
        {
            "posthouse_generation": {(): 3},
            "process_start_time_seconds": {(): 50.0},
            "posthouse_workers": {(): 1},
            "posthouse_exchange_duration_seconds": {("s", "/"): Histogram((1, 0, 2), 3.5)},
        }
    )
    other = Snapshot(
        {
            "posthouse_generation": {(): 2},
            "process_start_time_seconds": {(): 70.0},
            "posthouse_workers": {(): 1},
            "posthouse_exchange_duration_seconds": {
                ("s", "/"): Histogram((0, 4, 1), 1.5),
                ("t", "/"): Histogram((1, 0, 0), 0.1),
            },
        }
    )
    both = merge([one, other])
    assert both.value("posthouse_generation") == 3
    assert both.value("process_start_time_seconds") == 50.0
    assert both.value("posthouse_workers") == 2
    assert both.value("posthouse_exchange_duration_seconds", "s", "/") == Histogram((1, 4, 3), 5.0)
    assert both.value("posthouse_exchange_duration_seconds", "t", "/") == Histogram((1, 0, 0), 0.1)
    assert both.value("posthouse_reloads_total", "success") == 0


def test_it_can_be_sent_to_another_process() -> None:
    snapshot = Snapshot({"posthouse_exchange_duration_seconds": {("s", "/"): Histogram((1, 2), 0.5)}}, 7, 1)
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert Histogram((1, 2), 0.5).count == 3


@given(snapshots())
def test_only_what_was_counted_lasts(snapshot: Snapshot) -> None:
    assert values(lasting(snapshot)) == counted(snapshot)


def test_sites_that_are_gone_become_one_row() -> None:
    name, plain = "posthouse_exchanges_total", "posthouse_retries_total"
    snapshot = Snapshot(
        {
            name: {
                ("a", "/", "GET", "200", ""): 1,
                ("b", "/x", "GET", "200", ""): 2,
                ("b", "/y", "GET", "200", ""): 4,
                (UNKNOWN_SITE, NO_ROUTE, "GET", "404", ""): 8,
                (REMOVED_SITE, NO_ROUTE, "GET", "200", ""): 16,
            },
            plain: {("b", "/x"): 3},
            "posthouse_reloads_total": {("success",): 5},
        }
    )
    folded = fold_removed(snapshot, {"a"})
    assert folded.rows == {
        name: {
            ("a", "/", "GET", "200", ""): 1,
            (UNKNOWN_SITE, NO_ROUTE, "GET", "404", ""): 8,
            (REMOVED_SITE, NO_ROUTE, "GET", "200", ""): 22,
        },
        plain: {(REMOVED_SITE, NO_ROUTE): 3},
        "posthouse_reloads_total": {("success",): 5},
    }


@given(snapshots(), st.sets(st.sampled_from("ab")))
def test_no_total_changes_when_sites_go(snapshot: Snapshot, kept: set[str]) -> None:
    def totals(one: Snapshot) -> Counter[str]:
        sums: Counter[str] = Counter()
        for (name, _), numbers in counted(one).items():
            sums[name] += int(sum(numbers))
        return sums

    assert totals(fold_removed(snapshot, kept)) == totals(snapshot)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8, 100])
def test_pieces_are_the_whole(most: int) -> None:
    rows: dict[str, Rows] = {
        "posthouse_queue_length": {(str(number),): number for number in range(7)},
        "posthouse_workers": {(): 1},
    }
    whole = Snapshot(rows, 5, 6)
    *some, last = cut(whole, most)
    assert all(sum(map(len, one.rows.values())) <= most for one in (*some, last))
    pieces = Pieces()
    for one in some:
        assert pieces.add("key", one, is_last=False) is None
    assert pieces.add("other", whole, is_last=True) == whole
    assert pieces.add("key", last, is_last=True) == whole
    pieces.add("key", whole, is_last=False)
    pieces.forget(lambda key: key == "key")
    assert repr(pieces) == "<Pieces []>"


def test_of_nothing_there_is_one_piece() -> None:
    assert list(cut(Snapshot({}, 5, 6), 10)) == [Snapshot({}, 5, 6)]
