"""Probe after probe: when, what is logged, what the backend is told."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.balance.active_health import ActiveHealth, State
from posthouse.config.specs import CheckSpec
from posthouse.errors import Side
from posthouse.probe.prober import Last, Prober
from unit.probe.bench import BAD, OK, Bench, check, refused


class Run:
    """A prober whose first probe begins at once."""

    def __init__(self, **pace: Any) -> None:
        self.bench = Bench()
        self.check = check(ask=CheckSpec("/h", drain=((429, 429),)), **pace)
        self.backend = self.check.backend
        self.prober = Prober(self.check, self.bench, ActiveHealth())
        self.prober.start(0.0)
        self.bench.advance(0.0)

    def answer(self, data: bytes) -> None:
        self.bench.dials[-1].answer(data)

    def next(self, data: bytes) -> None:
        """The next probe, ten seconds after the last began."""
        self.bench.advance(10.0)
        self.answer(data)


DRAIN = b"HTTP/1.1 429 Later\r\nContent-Length: 0\r\n\r\n"


def test_one_line_for_each_change() -> None:
    run = Run()
    told = []
    for data in (OK, OK, BAD, BAD, DRAIN, DRAIN, OK, DRAIN, BAD, OK):
        run.answer(data) if not run.bench.dials[-1].wire else run.next(data)
        told.append(run.bench.take_lines())
    assert told == [
        [],
        [],
        ["warn backend down was=up status 503"],
        [],
        ["info backend draining was=down status 429"],
        [],
        ["info backend up was=draining status 200"],
        ["info backend draining was=up status 429"],
        ["warn backend down was=draining status 503"],
        ["info backend up was=down status 200"],
    ]


def test_the_backend_is_told_with_reason_and_time() -> None:
    run = Run()
    run.answer(OK)
    assert (run.backend.reason, run.backend.since) == ("", None)
    run.next(BAD)
    assert not run.backend.is_usable
    assert (run.backend.state, run.backend.reason, run.backend.since) == (State.DOWN, "status 503", 1010.0)
    run.next(BAD)
    assert run.backend.since == 1010.0
    [(_, _, fields)] = run.bench.lines
    assert fields == {"pool": "pool", "upstream": "http://a:80", "was": "up", "reason": "status 503"}


def test_thresholds() -> None:
    run = Run(passes=2, fails=2)
    usable = []
    run.answer(BAD)
    for data in (BAD, OK, BAD, OK, OK):
        run.next(data)
        usable.append(run.backend.is_usable)
    assert usable == [False, False, False, False, True]


def test_the_interval_is_from_beginning_to_beginning() -> None:
    run = Run()
    run.bench.advance(3.0)
    run.answer(OK)
    run.bench.advance(6.999)
    assert len(run.bench.dials) == 1
    run.bench.advance(0.001)
    assert [dial.at for dial in run.bench.dials] == [1000.0, 1010.0]


def test_jitter_is_drawn_for_each_pause() -> None:
    run = Run()
    run.bench.chances = [0.0, 1.0]
    run.answer(OK)
    run.bench.advance(9.0)
    run.answer(OK)
    run.bench.advance(11.0)
    assert [dial.at for dial in run.bench.dials] == [1000.0, 1009.0, 1020.0]


def test_another_interval_while_it_is_down() -> None:
    run = Run(down_interval=1.0)
    run.answer(BAD)
    run.bench.advance(1.0)
    run.answer(OK)
    run.bench.advance(10.0)
    assert [dial.at for dial in run.bench.dials] == [1000.0, 1001.0, 1011.0]


def test_probes_of_one_backend_do_not_overlap() -> None:
    run = Run(timeout=25.0)
    run.bench.advance(24.0)
    assert len(run.bench.dials) == 1, "two intervals have passed"
    run.bench.advance(1.0)
    assert run.bench.take_lines() == ["warn backend down was=up no connection within 25 s"]
    run.bench.advance(0.0)
    assert [dial.at for dial in run.bench.dials] == [1000.0, 1025.0], "the next one begins at once"
    assert [dial.is_pending for dial in run.bench.dials] == [False, True]


def test_our_own_fault_changes_nothing_and_is_told() -> None:
    run = Run()
    run.bench.dials[0].fail(refused(Side.POSTHOUSE))
    assert run.bench.take_lines() == ["warn health check not made"]
    assert run.backend.is_usable and run.prober.health.fails == 0
    run.next(OK)
    assert run.bench.take_lines() == []


@pytest.mark.parametrize("moment", ["before", "dialling", "waiting", "between"])
def test_stopped_at_any_moment(moment: str) -> None:
    run = Run()
    if moment == "waiting":
        run.bench.dials[0].connect()
    elif moment == "between":
        run.answer(OK)
    elif moment == "before":
        run.prober.stop()
        run.prober.start(1.0)
    run.prober.stop()
    run.prober.stop()
    run.bench.assert_nothing_left()
    count = len(run.bench.dials)
    run.bench.advance(100.0)
    assert len(run.bench.dials) == count and run.bench.lines == []
    assert repr(run.prober).startswith("<Prober http://a:80 <ActiveHealth up")


def test_the_last_check_is_remembered() -> None:
    run = Run()
    assert run.prober.last is None
    run.answer(OK)
    run.next(DRAIN)
    assert run.prober.last == Last(1010.0, "drain", "status 429")
    run.next(BAD)
    assert run.prober.last == Last(1020.0, "fail", "status 503")
    run.bench.advance(10.0)
    run.bench.dials[-1].fail(refused(Side.POSTHOUSE))
    assert run.prober.last is not None and run.prober.last.verdict == "not_made"
