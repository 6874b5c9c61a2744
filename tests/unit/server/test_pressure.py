"""What a worker does when descriptors or memory run short: looked at without waiting a second for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from posthouse.errors import StartError
from posthouse.server.accepting import Admission
from posthouse.server.pressure import CROWD, Limits, Pressure, shown
from unit.server.fakes import Remembering, until

MB = 1 << 20


class Runtime:
    """What can be given back."""

    def __init__(self) -> None:
        self.on_exhausted: Callable[[], None] = lambda: None
        self.warm = 0
        self.freed = self.given_back = 0

    def give_back(self) -> None:
        self.given_back += 1

    def keep_warm(self, most: int) -> int:
        surplus = max(0, self.warm - most)
        self.warm -= surplus
        return surplus

    def free(self) -> None:
        self.freed += 1


class Doors:
    """Whether clients are refused, and who was closed."""

    def __init__(self) -> None:
        self.is_refusing = False
        self.closed_before: list[float] = []

    def refuse(self, is_refusing: bool) -> None:
        self.is_refusing = is_refusing

    def close_idle(self, before: float) -> int:
        self.closed_before.append(before)
        return 0


@dataclass
class Parts:
    log: Remembering
    loop: asyncio.AbstractEventLoop
    relief: Runtime = field(default_factory=Runtime)


class Scene:
    """A worker's pressure, its surroundings, and hands on the clock and the memory."""

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
        self.parts = Parts(log, loop)
        self.doors = Doors()
        self.admission = Admission(limits.descriptors, loop, log)
        self.in_flight = 1000
        self.pressure = Pressure(limits, self.admission, self.doors, self.parts, lambda: self.in_flight)
        self.now = 100.0
        self.resident = 50 * MB
        self.pressure.clock = lambda: self.now
        self.pressure.resident = lambda: self.resident

    def second(self, resident: int) -> None:
        """A second passes, with so much memory at its end."""
        self.now += 1.0
        self.resident = resident
        self.pressure._look()
        self.pressure.stop()


@pytest.mark.parametrize(
    ("limits", "most", "warnings"),
    [
        (Limits(descriptors=1000), 481, 0),
        (Limits(descriptors=1000, connections=481), 481, 0),
        (Limits(descriptors=1000, connections=482), 481, 1),
        (Limits(descriptors=1000, connections=7), 7, 0),
    ],
)
def test_connections_fit_the_descriptors(
    limits: Limits, most: int, warnings: int, loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    scene = Scene(limits, loop, log)
    scene.pressure.fit(listeners=2, logs=2)
    assert scene.admission.limit == most
    assert len(log.of("descriptors allow fewer connections than --max-connections")) == warnings


@pytest.mark.parametrize(("warm", "closed"), [(15, 0), (16, 1)])
def test_warm_connections_leave_room_for_clients(
    warm: int, closed: int, loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    scene = Scene(Limits(descriptors=72), loop, log)
    scene.pressure.fit(listeners=0, logs=0)
    scene.parts.relief.warm, scene.in_flight = warm, 5
    scene.second(0)
    assert scene.parts.relief.warm == warm - closed
    assert len(log.lines()) == closed


def test_memory_over_the_limit_and_back(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    scene = Scene(Limits(memory=100 * MB), loop, log)
    doors, relief = scene.doors, scene.parts.relief
    scene.pressure.check()
    scene.second(100 * MB)
    assert not doors.is_refusing and relief.freed == 0 and doors.closed_before == []

    assert scene.pressure.shortages["memory"] == (False, 0)
    scene.second(101 * MB)
    assert doors.is_refusing and relief.freed == 1
    assert scene.pressure.shortages["memory"] == (True, 1)
    assert doors.closed_before == [101.0], "idle for a second, or their next request may be on its way"
    scene.second(95 * MB)
    assert doors.is_refusing and relief.freed == 2

    scene.second(80 * MB)
    assert not doors.is_refusing and relief.freed == 3
    assert scene.pressure.shortages["memory"] == (False, 1)
    assert [line["what"] for line in log.lines()] == [
        "memory over its limit, new requests get 503",
        "memory below its limit, serving again",
    ]
    assert log.lines()[0]["resident"] == "101.0MB" and log.lines()[0]["most"] == "100.0MB"
    assert log.lines()[1]["seconds"] == 2


def test_what_nobody_holds_is_no_reason_to_refuse(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    scene = Scene(Limits(memory=100 * MB), loop, log)
    scene.second(120 * MB)
    scene.in_flight = 0
    scene.second(120 * MB)
    assert not scene.doors.is_refusing
    assert log.of("memory over its limit with next to nothing running, serving again")


@pytest.mark.parametrize(
    ("counts", "times"),
    [
        ([CROWD - 1, 0], 0),
        ([CROWD, 0, 0], 1),
        ([3 * CROWD, 3 * CROWD // 2 + 1], 0),
        ([3 * CROWD, 3 * CROWD // 2, CROWD // 2 + 1, CROWD // 2], 2),
    ],
)
def test_when_a_crowd_has_left_its_memory_goes_back(
    counts: list[int],
    times: int,
    loop: asyncio.AbstractEventLoop,
    log: Remembering,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(Limits(), loop, log)
    for count in counts:
        monkeypatch.setattr(Admission, "count", lambda _, count=count: count)
        scene.second(0)
    assert scene.parts.relief.given_back == times


@pytest.mark.parametrize(("resident", "is_enough"), [(90 * MB, True), (90 * MB + 1, False)])
def test_a_limit_that_the_start_passes_is_refused(
    resident: int, is_enough: bool, loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    scene = Scene(Limits(memory=100 * MB), loop, log)
    scene.resident = resident
    if is_enough:
        scene.pressure.check()
    else:
        with pytest.raises(
            StartError, match=r"--max-memory leaves 100\.0MB for each worker, and one has 90\.0MB"
        ):
            scene.pressure.check()


def test_it_looks_by_itself_until_stopped(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posthouse.server.pressure.LOOK_SECONDS", 0.001)
    scene = Scene(Limits(memory=100 * MB), loop, log)
    scene.resident = 101 * MB

    async def conversation() -> None:
        scene.pressure.start()
        await until(lambda: scene.parts.relief.freed >= 2)
        scene.pressure.stop()
        freed = scene.parts.relief.freed
        await asyncio.sleep(0.02)
        assert scene.parts.relief.freed == freed

    loop.run_until_complete(conversation())
    assert scene.parts.relief.on_exhausted == scene.admission.rest


def test_sizes_are_shown_for_people() -> None:
    assert shown(int(81.5 * MB)) == "81.5MB"
