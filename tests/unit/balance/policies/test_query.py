"""`policy query NAME`."""

from __future__ import annotations

import pytest

from posthouse.balance.policies.query import Query, find_parameter
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: Query(("key",), setting), "hash")


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (b"/", None),
        (b"/?", None),
        (b"/?other=1", None),
        (b"/?keys=1&xkey=2", None),
        (b"/?KEY=1", None),
        (b"/?key=1", b"1"),
        (b"/?a=0&key=1&key=2", b"1"),
        (b"/?key", b""),
        (b"/?key=", b""),
        (b"/?key=a=b", b"a=b"),
        (b"/?key=a?b", b"a?b"),
        (b"/?key=a+b", b"a b"),
        (b"/?key=a%20%62", b"a b"),
        (b"/?k%65y=1", b"1"),
        (b"/?key=%zz%", b"%zz%"),
        (b"http://example.org/?key=1", b"1"),
    ],
)
def test_find_parameter(target: bytes, value: bytes | None) -> None:
    assert find_parameter(target, b"key") == value


def test_only_that_parameter_counts() -> None:
    pool = make_pool(pool_spec("abcdefgh", "query", "user"))
    home = pool.select(Request(target=b"/?user=jo"), 0.0)
    assert all(pool.select(Request(target=b"/%d?n=%d&user=jo" % (n, n)), 0.0) is home for n in range(50))
    assert len({pool.select(Request(target=b"/?user=%d" % n), 0.0) for n in range(100)}) == 8


@pytest.mark.parametrize("target", [b"/", b"/?user=", b"/?other=1"])
def test_absent_or_empty_is_round_robin(target: bytes) -> None:
    pool = make_pool(pool_spec("abc", "query", "user"))
    assert {pool.select(Request(target=target), 0.0) for _ in range(3)} == set(pool.backends)
