"""What backends are known by."""

from __future__ import annotations

from posthouse.balance.identity import keys_of, name_of
from unit.balance.samples import endpoint


def test_a_repeat_is_counted() -> None:
    keys = list(keys_of([endpoint("a"), endpoint("b"), endpoint("a"), endpoint("a")]))
    assert keys == [("http://a:80", 1), ("http://b:80", 1), ("http://a:80", 2), ("http://a:80", 3)]
    assert [name_of(key) for key in keys] == ["http://a:80", "http://b:80", "http://a:80#2", "http://a:80#3"]
