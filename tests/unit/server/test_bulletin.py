"""What workers write down for each other, and what they read of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from posthouse import __version__
from posthouse.server import block
from posthouse.server.bulletin import LINES, Bulletin, Line


class Office:
    """Three workers."""

    def __init__(self) -> None:
        self.block = block.create(3, __version__)
        self.all = [self.worker(number) for number in range(3)]

    def worker(self, number: int) -> Bulletin:
        return Bulletin(self.block, number)


@pytest.fixture
def office() -> Iterator[Office]:
    made = Office()
    yield made
    made.block.close()


def line(number: int) -> Line:
    return Line(number, 1, number / 10, float("inf"))


def test_each_line_is_read_once_by_each_other_worker(office: Office) -> None:
    first, second, third = office.all
    first.write(line(1))
    second.write(line(2))
    assert (first.is_read, second.is_read, third.is_read) == (False, False, False)
    assert first.take() == [line(2)] and second.take() == [line(1)] and third.take() == [line(1), line(2)]
    assert first.is_read and second.is_read and third.is_read
    assert first.take() == []


@pytest.mark.parametrize(("written", "read"), [(LINES, LINES), (LINES + 1, LINES), (3 * LINES, LINES)])
def test_who_looks_seldom_gets_the_last_lines(office: Office, written: int, read: int) -> None:
    first, second, _ = office.all
    for number in range(written):
        first.write(line(number))
    assert second.take() == [line(number) for number in range(written - read, written)]


@pytest.mark.parametrize("count", [1, 3])
def test_who_comes_in_the_place_of_another_goes_on_after_it(office: Office, count: int) -> None:
    """Also if it writes as many lines as the other, which have been read."""
    first, second, third = office.all
    for number in range(count):
        first.write(line(number))
    second.take()
    office.block.clear_column(0)
    again = office.worker(0)
    assert again.is_read, "what was written before it came is told by the supervisor"
    for number in range(count):
        again.write(line(7 + number))
    assert second.take() == [line(7 + number) for number in range(count)]
    assert third.take() == [
        *(line(number) for number in range(count)),
        *(line(7 + number) for number in range(count)),
    ]
