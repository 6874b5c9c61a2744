"""Whose turn it is at a pipe that several processes write to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from posthouse.observe.turn import Turn

OTHER = """
import sys
from posthouse.observe.turn import Turn
turn = Turn(int(sys.argv[1]))
for order in sys.stdin:
    if order == "begin\\n":
        print(turn.begin(), flush=True)
    else:
        turn.end(is_torn=order == "half\\n")
        print("ended", flush=True)
"""


@pytest.fixture
def pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


class Other:
    """Another process that writes to the same pipe."""

    def __init__(self, pipe: int) -> None:
        command = [sys.executable, "-c", OTHER, str(pipe)]
        self.process = subprocess.Popen(
            command, pass_fds=[pipe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def told(self, order: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other(pipe: int) -> Iterator[Other]:
    one = Other(pipe)
    yield one
    one.end()


def test_while_another_process_writes_it_is_not_our_turn(pipe: int, other: Other) -> None:
    turn = Turn(pipe)
    assert other.told("begin") == "True"
    assert not turn.begin()
    other.told("whole")
    assert turn.begin()
    assert other.told("begin") == "False"
    turn.end(is_torn=False)
    assert other.told("begin") == "True"


def test_whoever_has_half_a_line_out_goes_on_first(pipe: int, other: Other) -> None:
    turn = Turn(pipe)
    other.told("begin")
    other.told("half")
    assert not turn.begin()
    assert other.told("begin") == "True"
    other.told("whole")
    assert turn.begin()
    turn.end(is_torn=True)
    assert other.told("begin") == "False"
    turn.give_up()
    assert other.told("begin") == "True"


def test_a_process_that_ends_in_the_middle_holds_up_nobody(pipe: int, other: Other) -> None:
    other.told("begin")
    other.told("half")
    other.end()
    turn = Turn(pipe)
    assert turn.begin()
    turn.end(is_torn=False)


def test_within_a_process_it_is_the_same(pipe: int) -> None:
    one, two = Turn(pipe), Turn(pipe)
    assert one.begin()
    assert not two.begin()
    two.give_up()
    assert not two.begin()
    one.end(is_torn=True)
    assert not two.begin()
    assert one.begin()
    one.end(is_torn=False)
    assert two.begin()
    two.end(is_torn=False)


def test_null_is_everybodys_and_nobody_waits_for_it() -> None:
    with open(os.devnull, "wb") as null:
        one, two = Turn(null.fileno()), Turn(null.fileno())
        assert one.begin() and two.begin()
        assert not one.has_lock


def test_terminals_and_sockets_can_be_locked_too() -> None:
    ends = [*os.openpty()]
    try:
        turn = Turn(ends[1])
        assert turn.begin()
        other = Other(ends[1])
        try:
            assert other.told("begin") == "False"
        finally:
            other.end()
        turn.end(is_torn=False)
    finally:
        for end in ends:
            os.close(end)
