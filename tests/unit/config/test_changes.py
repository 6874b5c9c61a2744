"""What a reload would change, in words."""

from __future__ import annotations

from hypothesis import given

from posthouse.adapt import adapt
from posthouse.config.changes import HOWS, KINDS, Changes, Difference, compare
from posthouse.config.specs import Config
from unit.config.changing import configs

OLD = """
http://a.test {
    proxy / 127.0.0.1:1 127.0.0.1:2
    basicauth / u first
}
http://b.test:81 {
    proxy / http://u:first@127.0.0.1:1
}
"""


def changed(new: str, old: str = OLD) -> Changes:
    return compare(adapt(old, "f", env={}).config, adapt(new, "f", env={}).config)


def named(changes: Changes) -> dict[str, list[str]]:
    """The names by what happens to them; nothing that is empty."""
    found = {
        f"{kind} {how}": [change.name for change in changes.of(kind, how)] for kind in KINDS for how in HOWS
    }
    return {what: names for what, names in found.items() if names}


@given(configs)
def test_nothing_differs_from_itself(config: Config) -> None:
    assert compare(config, config).is_nothing


@given(configs, configs)
def test_what_comes_one_way_goes_the_other(old: Config, new: Config) -> None:
    there, back = compare(old, new), compare(new, old)
    assert there.is_nothing == back.is_nothing
    assert (there.opened, there.closed) == (back.closed, back.opened)
    for kind in ("pool", "backend"):
        come = sorted((one.within, one.name) for one in there.of(kind, "added"))
        gone = sorted((one.within, one.name) for one in back.of(kind, "removed"))
        assert come == gone
    if old == new:
        assert there.is_nothing


def test_moving_lines_is_no_change() -> None:
    assert changed("# a line\n\n" + OLD.replace("    ", "\t")).is_nothing


def test_a_site_that_comes_and_one_that_goes() -> None:
    changes = changed(OLD.replace("b.test:81", "c.test:82"))
    assert named(changes) == {
        "site added": ["http://c.test:82"],
        "site removed": ["http://b.test:81"],
        "route added": ["http://c.test:82 /"],
        "route removed": ["http://b.test:81 /"],
        "pool added": ["http://c.test:82 /"],
        "pool removed": ["http://b.test:81 /"],
        "backend added": ["http://127.0.0.1:1"],
        "backend removed": ["http://127.0.0.1:1"],
    }
    assert (changes.opened, changes.closed) == ((":82",), (":81",))


def test_what_differs_within_a_site_is_told_where_it_is() -> None:
    changes = changed(
        OLD.replace("127.0.0.1:2\n", "127.0.0.1:3 {\n max_conns 4\n try_duration 1s\n }\n gzip\n")
    )
    assert named(changes) == {
        "site altered": ["http://a.test"],
        "pool altered": ["http://a.test /"],
        "backend added": ["http://127.0.0.1:3"],
        "backend removed": ["http://127.0.0.1:2"],
    }
    (site,) = changes.of("site", "altered")
    assert [one.field for one in site.differences] == ["gzips"]
    (pool,) = changes.of("pool", "altered")
    assert pool.differences == (Difference("retry.duration", 0.0, 1.0), Difference("max_conns", 0, 4))
    assert {one.within for one in changes.of("backend", "added")} == {"http://a.test /"}


def test_a_route_that_is_altered() -> None:
    changes = changed(OLD.replace("127.0.0.1:2\n", "127.0.0.1:2 {\n without /x\n }\n"))
    assert named(changes) == {"route altered": ["http://a.test /"]}


def test_a_site_with_one_more_address_is_the_same_site() -> None:
    changes = changed(OLD.replace("http://a.test ", "http://a.test, http://aa.test "))
    assert named(changes) == {"site altered": ["http://a.test"]}
    assert named(changed(OLD.replace("http://a.test ", "http://aa.test, http://a.test "))) == {
        "site altered": ["http://a.test"],
        "pool added": ["http://aa.test /"],
        "pool removed": ["http://a.test /"],
        "backend added": ["http://127.0.0.1:1", "http://127.0.0.1:2"],
        "backend removed": ["http://127.0.0.1:1", "http://127.0.0.1:2"],
    }


def test_secrets_are_never_shown() -> None:
    changes = changed(OLD.replace("first", "second"))
    assert named(changes) == {"site altered": ["http://a.test"], "backend altered": ["http://127.0.0.1:1"]}
    found = [one for change in changes.changes for one in change.differences]
    assert found == [Difference("auths", None, None, True), Difference("credentials", None, None, True)]


def test_the_same_address_twice_in_a_pool() -> None:
    twice = OLD.replace("127.0.0.1:2", "127.0.0.1:1")
    assert named(changed(OLD, twice)) == {
        "backend added": ["http://127.0.0.1:2"],
        "backend removed": ["http://127.0.0.1:1#2"],
    }


def test_where_it_listens() -> None:
    changes = changed(OLD.replace("b.test:81 {\n", "b.test:81 {\n bind ::1\n"))
    assert (changes.opened, changes.closed) == (("[::1]:81",), (":81",))


def test_the_order_of_sites_is_no_change() -> None:
    first, second = OLD.split("http://b")
    assert changed("http://b" + second + first).is_nothing
