"""Which row belongs to what, and when it may be another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posthouse.server.rows import Rows, keys_of, queue_keys
from unit.balance.samples import pool_spec


def test_a_pool_has_two_for_its_queue_and_one_for_each_backend() -> None:
    spec = pool_spec("aba")
    assert keys_of(spec) == [
        *queue_keys("site /"),
        *(("site /", "http://a:80", 1), ("site /", "http://b:80", 1), ("site /", "http://a:80", 2)),
    ]


def test_what_stays_keeps_its_row() -> None:
    rows = Rows()
    first = rows.give(1, keys_of(pool_spec("ab")))
    assert sorted(first.values()) == [0, 1, 2, 3] and rows.size == 4
    assert rows.give(2, keys_of(pool_spec("cab"))) == {("site /", "http://c:80", 1): 4}


def test_a_row_is_anothers_only_when_its_last_generation_is_over() -> None:
    rows = Rows()
    first = rows.give(1, keys_of(pool_spec("ab")))
    rows.give(2, keys_of(pool_spec("b")))
    assert rows.retire(1) == [] and rows.give(2, keys_of(pool_spec("c"))) == {("site /", "http://c:80", 1): 4}
    assert rows.retire(2) == [first["site /", "http://a:80", 1]]
    assert rows.give(2, keys_of(pool_spec("d"))) == {("site /", "http://d:80", 1): 2}
    assert rows.size == 5


@given(st.lists(st.tuples(st.sets(st.sampled_from("abcdefg"), min_size=1), st.integers(0, 3)), max_size=30))
def test_no_two_have_the_same(changes: list[tuple[set[str], int]]) -> None:
    rows = Rows()
    alive: list[tuple[int, dict[tuple[str, str, int], int]]] = []
    for number, (hosts, lag) in enumerate(changes, 1):
        keys = keys_of(pool_spec(sorted(hosts)))
        rows.give(number, keys)
        alive.append((number, {key: rows.all[key] for key in keys}))
        rows.retire(number - lag)
        alive = [one for one in alive if one[0] >= number - lag]
        used: dict[int, tuple[str, str, int]] = {}
        for _, mine in alive:
            for key, row in mine.items():
                assert rows.all[key] == row, "it keeps its row while a generation has it"
                assert used.setdefault(row, key) == key
        assert len(set(rows.all.values())) == len(rows.all) <= rows.size
