"""`policy cookie NAME`."""

from __future__ import annotations

import pytest

from posthouse.balance.policies.cookie import Cookie, find_cookie
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec


def test_keeps_the_promises() -> None:
    check_policy(lambda setting: Cookie(("key",), setting), "hash")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"", None),
        (b"other=1", None),
        (b"sids=1; xsid=2", None),
        (b"SID=1", None),
        (b"sid", None),
        (b"sid=1", b"1"),
        (b"a=0; sid=1; sid=2", b"1"),
        (b"a=0;sid=1", b"1"),
        (b"a=0 ;\tsid = 1 ;b=2", b"1"),
        (b"sid=", b""),
        (b"sid=a=b", b"a=b"),
    ],
)
def test_find_cookie(header: bytes, value: bytes | None) -> None:
    assert find_cookie(header, b"sid") == value


def test_only_that_cookie_counts() -> None:
    pool = make_pool(pool_spec("abcdefgh", "cookie", "sid"))
    home = pool.select(Request(cookie="sid=jo"), 0.0)
    assert all(pool.select(Request(cookie=f"n={n}; sid=jo"), 0.0) is home for n in range(50))
    assert len({pool.select(Request(cookie=f"sid={n}"), 0.0) for n in range(100)}) == 8


@pytest.mark.parametrize("request_made", [Request(), Request(cookie="sid="), Request(cookie="other=1")])
def test_absent_or_empty_is_round_robin(request_made: Request) -> None:
    pool = make_pool(pool_spec("abc", "cookie", "sid"))
    assert {pool.select(request_made, 0.0) for _ in range(3)} == set(pool.backends)
