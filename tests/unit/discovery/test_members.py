"""Records to members: names, order, weights, priorities."""

from __future__ import annotations

import random

import pytest

from posthouse.discovery.members import of_addresses, of_records
from posthouse.discovery.ports import ServiceRecord
from unit.discovery.fakes import source_spec

SRV = source_spec("srv://user:word@_http._tcp.Web.test/base?k=v").member
DNS = source_spec("dns://web.test:81/base").member


def weights(*pairs: tuple[int, int]) -> list[int]:
    """What becomes of (priority, weight) pairs."""
    records = [
        ServiceRecord(priority, weight, f"h{at:02}", 80) for at, (priority, weight) in enumerate(pairs)
    ]
    by_name = {member.host: member.weight for member in of_records(SRV, records)}
    return [by_name[f"h{at:02}"] for at in range(len(pairs))]


def test_a_record_is_a_member() -> None:
    (member,) = of_records(SRV, [ServiceRecord(10, 5, "web1.test", 8080)])
    assert member.text == "http://web1.test:8080/base?k=v"
    assert (member.host, member.port, member.weight, member.priority) == ("web1.test", 8080, 5, 10)
    assert member.authority == "_http._tcp.Web.test"
    assert member.credentials == "user:word"
    assert "word" not in repr(member)


def test_an_address_that_came_along_is_dialled() -> None:
    (member,) = of_records(SRV, [ServiceRecord(0, 1, "web1.test", 80, "127.0.0.9")])
    assert (member.text, member.host) == ("http://web1.test:80/base?k=v", "127.0.0.9")


def test_the_order_of_records_does_not_matter_and_repeats_are_one() -> None:
    records = [ServiceRecord(priority, 1, name, 80) for priority in (2, 1) for name in "cab"]
    expected = of_records(SRV, records)
    assert [(member.priority, member.host) for member in expected] == [(p, h) for p in (1, 2) for h in "abc"]
    random.Random(1).shuffle(records)
    assert of_records(SRV, [*records, records[0]]) == expected


def test_no_such_service() -> None:
    """RFC 2782: a target of "." says so."""
    assert of_records(SRV, [ServiceRecord(0, 0, "", 0)]) == ()
    assert of_records(SRV, [ServiceRecord(0, 0, "a", 0)]) == ()


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(0, 1), (0, 1000)], [1, 1000]),
        ([(0, 0), (0, 0)], [1, 1]),
        ([(0, 0), (0, 1)], [1, 1000]),
        ([(0, 0), (0, 10), (0, 20)], [1, 500, 1000]),
        ([(0, 1), (0, 65535)], [1, 1000]),
        ([(0, 30000), (0, 60000)], [500, 1000]),
        ([(0, 1), (1, 65535), (1, 0)], [1, 1000, 1]),
    ],
)
def test_weights_are_scaled_by_priority(pairs: list[tuple[int, int]], expected: list[int]) -> None:
    assert weights(*pairs) == expected


def test_an_address_is_a_member() -> None:
    found = of_addresses(DNS, ["::1", "127.0.0.10", "127.0.0.9", "127.0.0.9"])
    assert [member.text for member in found] == [
        "http://127.0.0.9:81/base",
        "http://127.0.0.10:81/base",
        "http://[::1]:81/base",
    ]
    assert {(member.authority, member.port) for member in found} == {("web.test:81", 81)}
    assert [member.host for member in found] == ["127.0.0.9", "127.0.0.10", "::1"]
