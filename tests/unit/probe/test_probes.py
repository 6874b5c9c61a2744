"""All checks of a worker: the first round, and what a reload does to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from posthouse.balance.active_health import State
from posthouse.config.specs import CheckSpec
from posthouse.probe.check import Check
from posthouse.probe.probes import Probes
from unit.probe.bench import BAD, OK, Bench, backend, check


class Run:
    """Probes of some backends."""

    def __init__(self, count: int = 1) -> None:
        self.bench = Bench()
        self.probes = Probes(self.bench)
        self.checks = [check(backend(f"b{number}")) for number in range(count)]
        self.backends = [one.backend for one in self.checks]
        self.checked = list(self.backends)
        self.probes.change([], self.checks)

    def replace(self, checks: Iterable[Check]) -> None:
        """These are the checks from now on, in the place of all before."""
        gone, came = self.checked, list(checks)
        self.checked = [one.backend for one in came]
        self.probes.change(gone, came)

    def fail_first(self) -> None:
        """The first probe of the only backend finds it down."""
        self.bench.advance(1.0)
        self.bench.dials[-1].answer(BAD)
        assert self.bench.take_lines() == ["warn backend down was=up status 503"]


def test_a_thousand_backends_are_asked_within_a_second_and_not_in_one_turn() -> None:
    run = Run(0)
    run.bench.chances = [number / 1000 for number in range(1000)]
    run.replace(check(backend(f"b{number}")) for number in range(1000))
    asked = []
    for _ in range(10):
        run.bench.advance(0.1)
        asked.append(len(run.bench.dials))
    assert all(90 <= later - sooner <= 110 for sooner, later in zip([0, *asked], asked, strict=False))
    assert asked[-1] == 1000
    run.probes.stop()
    run.bench.assert_nothing_left()


def test_one_that_hangs_does_not_delay_the_others() -> None:
    run = Run(3)
    run.bench.advance(0.1)
    assert len(run.bench.dials) == 3
    for dial in run.bench.dials[1:]:
        dial.answer(OK)
    run.bench.advance(10.0)
    hosts = [dial.endpoint.host for dial in run.bench.dials]
    assert hosts.count("b0") == 2 and hosts.count("b1") == hosts.count("b2") == 2


def test_an_equal_check_is_not_disturbed() -> None:
    run = Run()
    run.bench.advance(1.0)
    [dial] = run.bench.dials
    run.replace([replace(run.checks[0])])
    assert dial.is_pending, "the probe that runs goes on"
    dial.answer(BAD)
    assert run.bench.take_lines() == ["warn backend down was=up status 503"]
    run.replace([replace(run.checks[0])])
    assert run.backends[0].state is State.DOWN and len(run.bench.dials) == 1
    run.bench.advance(10.0)
    assert len(run.bench.dials) == 2, "in its own time"


def test_another_pace_keeps_what_was_found() -> None:
    run = Run()
    run.fail_first()
    run.replace([check(run.backends[0], interval=1.0, down_interval=1.0, passes=2)])
    assert run.backends[0].state is State.DOWN
    for lines in ([], ["info backend up was=down status 200"]):
        run.bench.advance(1.0)
        run.bench.dials[-1].answer(OK)
        assert run.bench.take_lines() == lines


def test_another_question_begins_anew() -> None:
    run = Run()
    run.fail_first()
    run.replace([check(run.backends[0], ask=CheckSpec("/other"))])
    assert run.backends[0].state is State.UP
    assert run.bench.take_lines() == ["info backend up was=down asked something else from now on"]
    run.bench.advance(1.0)
    run.bench.dials[-1].answer(OK)
    assert run.bench.take_lines() == []


def test_without_a_check_nothing_is_believed() -> None:
    run = Run()
    run.fail_first()
    run.replace([])
    assert (run.backends[0].state, run.backends[0].reason) == (State.UP, "no longer checked")
    assert len(run.probes) == 0
    run.bench.assert_nothing_left()
    run.bench.advance(100.0)
    assert len(run.bench.dials) == 1 and run.bench.lines == []


def test_who_leaves_is_asked_no_more_and_who_comes_is_asked_soon() -> None:
    run = Run(2)
    run.bench.advance(1.0)
    old = run.bench.dials[:]
    new = check(backend("new"))
    run.replace([run.checks[0], new])
    assert sorted(dial.endpoint.host for dial in old if dial.is_pending) == ["b0"]
    run.bench.advance(1.0)
    assert [dial.endpoint.host for dial in run.bench.dials[2:]] == ["new"]
    assert repr(run.probes) == "<Probes of 2 backends>"


def test_stop() -> None:
    run = Run(2)
    run.bench.advance(1.0)
    run.bench.dials[0].connect()
    run.probes.stop()
    run.probes.stop()
    run.bench.assert_nothing_left()
    assert run.bench.lines == []


def test_a_change_leaves_the_checks_of_others_alone() -> None:
    """A reload names only what it changes; whoever is not named goes on."""
    run = Run(3)
    untouched = run.probes._probers[run.backends[0]]
    new = check(backend("new"))
    run.probes.change([run.backends[1]], [new])
    assert set(run.probes._probers) == {run.backends[0], run.backends[2], new.backend}
    assert run.probes._probers[run.backends[0]] is untouched
    run.probes.change([backend("never checked")], [])
    assert len(run.probes) == 3
    run.probes.stop()


def test_the_last_check_of_each_backend() -> None:
    run = Run(2)
    assert run.probes.last(run.backends[0]) is None
    run.bench.advance(1.0)
    for dial in run.bench.dials:
        if dial.is_pending:
            dial.answer(OK)
    last = run.probes.last(run.backends[0])
    assert last is not None and last.verdict == "pass"
    slower = replace(run.checks[0], spec=replace(run.checks[0].spec, interval=20.0))
    run.replace([slower])
    assert run.probes.last(run.backends[0]) == last, "only the pace has changed"
    assert run.probes.last(run.backends[1]) is None, "it is not checked any more"


def test_what_another_process_has_found_is_believed_until_it_is_asked() -> None:
    before = Run(2)
    before.bench.advance(1.0)
    before.bench.dials[0].answer(OK)
    before.bench.dials[1].answer(BAD)
    known = before.probes.beliefs()
    assert [(key[1], one.state, one.reason) for key, one in known.items()] == [
        (before.backends[1].name, State.DOWN, "status 503")
    ]
    run = Run(0)
    run.probes.expect(known)
    checks = [check(backend(f"b{number}"), interval=1.0, down_interval=1.0, passes=2) for number in range(2)]
    run.replace(checks)
    fresh = [one.backend for one in checks]
    assert [one.state for one in fresh] == [State.UP, State.DOWN]
    assert (fresh[1].reason, fresh[1].since) == ("status 503", before.backends[1].since)
    assert run.probes.beliefs() == known
    for lines in ([], ["info backend up was=down status 200"]):
        run.bench.advance(1.0)
        for dial in run.bench.dials:
            if dial.is_pending:
                dial.answer(OK)
        assert run.bench.take_lines() == lines, "as many good answers as after a failure of its own"
    assert run.probes.beliefs() == {}
    run.replace([check(backend("b1"))])
    assert run.checked[0].state is State.UP, "that was true once"
