"""Which pool or backend a word means."""

from __future__ import annotations

import pytest

from posthouse.server.names import Unclear, find, site_of, without_scheme

POOLS = ["a.test /", "b.test /", "b.test /x", "main"]


def test_the_name_or_its_shorter_form() -> None:
    assert find("pool", "b.test /", POOLS, site_of) == "b.test /"
    assert find("pool", "a.test", POOLS, site_of) == "a.test /"
    assert find("pool", "main", POOLS, site_of) == "main"
    assert find("pool", "x", ["x y", "x"], site_of) == "x", "the name itself goes first"
    assert find("backend", "a:1", ["http://a:1", "http://a:1#2", "unix:/x"], without_scheme) == "http://a:1"
    assert without_scheme("unix:/x") == "unix:/x"


def test_what_may_be_several() -> None:
    with pytest.raises(Unclear, match=r"pool 'b\.test' may be any of 2") as caught:
        find("pool", "b.test", POOLS, site_of)
    assert (caught.value.candidates, caught.value.hint) == (["b.test /", "b.test /x"], "")


def test_what_is_none() -> None:
    with pytest.raises(Unclear, match="there is no pool 'mian'") as caught:
        find("pool", "mian", POOLS, site_of)
    assert (caught.value.candidates, caught.value.hint) == (POOLS, "main")
    with pytest.raises(Unclear) as caught:
        find("pool", "q", [], site_of)
    assert (caught.value.candidates, caught.value.hint) == ([], "")
