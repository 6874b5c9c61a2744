"""Times and durations as text."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from posthouse.observe.timestamps import (
    MILLISECONDS,
    Seconds,
    common_time,
    common_time_bytes,
    duration,
    iso_local,
    iso_utc,
    syslog_time,
    whole_ms,
)

NOON = 1769860800
"""2026-01-31T12:00:00Z."""


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    rules = {"UTC": "UTC0", "Asia/Kolkata": "IST-5:30", "America/St_Johns": "NST3:30"}
    with monkeypatch.context() as patch:
        patch.setenv("TZ", rules[request.param])
        time.tzset()
        yield request.param
    time.tzset()


def test_local_time_has_the_offset_of_its_zone(zone: str) -> None:
    expected = {
        "UTC": "31/Jan/2026:12:00:00 +0000",
        "Asia/Kolkata": "31/Jan/2026:17:30:00 +0530",
        "America/St_Johns": "31/Jan/2026:08:30:00 -0330",
    }[zone]
    assert common_time(NOON) == expected
    assert common_time_bytes(NOON) == expected.encode()
    assert syslog_time(NOON) == f"Jan 31 {expected[12:20]}"
    assert syslog_time(NOON - 27 * 86_400) == f"Jan  4 {expected[12:20]}"
    assert iso_local(NOON) == f"2026-01-31T{expected[12:20]}"


def test_utc_does_not_care_about_the_zone(zone: str) -> None:
    assert iso_utc(NOON) == "2026-01-31T12:00:00"


def test_a_second_is_formatted_once_and_few_are_remembered() -> None:
    asked: list[int] = []

    def form(second: int) -> str:
        asked.append(second)
        return str(second)

    seconds = Seconds(form)
    assert [seconds[1], seconds[1], seconds[2], seconds[1]] == ["1", "1", "2", "1"]
    assert asked == [1, 2]
    for second in range(1000):
        assert seconds[second] == str(second)
    assert len(seconds) <= 64


def test_milliseconds_are_three_digits() -> None:
    assert (MILLISECONDS[0], MILLISECONDS[7], MILLISECONDS[999], len(MILLISECONDS)) == (
        ".000Z",
        ".007Z",
        ".999Z",
        1000,
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1.0, 0), (0.0, 0), (0.0004, 0), (0.0005, 1), (0.0149999, 15), (1.2344, 1234), (3600.0, 3_600_000)],
)
def test_whole_ms_rounds(seconds: float, expected: int) -> None:
    assert whole_ms(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-0.5, "0s"),
        (0.0, "0s"),
        (1e-10, "0s"),
        (532e-9, "532ns"),
        (1e-6, "1µs"),
        (532.4e-6, "532µs"),
        (999.6e-6, "1ms"),
        (0.0154, "15ms"),
        (0.9994, "999ms"),
        (0.9996, "1s"),
        (1.2345, "1.235s"),
        (1.5, "1.5s"),
        (20.0, "20s"),
        (59.9999, "1m0s"),
        (62.5, "1m2.5s"),
        (3600.0, "1h0m0s"),
        (3725.25, "1h2m5.25s"),
    ],
)
def test_durations_look_as_go_prints_them(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
