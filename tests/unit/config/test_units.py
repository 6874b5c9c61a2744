from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.units import NO_LIMIT, parse_count, parse_duration, parse_percent, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("+0", 0.0),
        ("-0", 0.0),
        ("250ms", 0.25),
        ("1h1.5m", 3690.0),
        ("1h30m", 5400.0),
        ("-3s", -3.0),
        ("+3s", 3.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("100us", 1e-4),
        ("100µs", 1e-4),
        ("100μs", 1e-4),
        ("1ns", 1e-9),
        ("1s1s", 2.0),
    ],
)
def test_durations_are_those_of_go(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10", "a unit is missing (`10s`, `10ms`, `10m`?)"),
        ("1d", "`d` is no unit; the units are ns us ms s m h; write `24h`"),
        ("1.5d", "`d` is no unit; the units are ns us ms s m h; write `36h`"),
        ("1S", "`S` is no unit; the units are ns us ms s m h"),
        ("", "it is empty"),
        ("-", "it is empty"),
        ("s", "it is not a number with a unit"),
        (".s", "it is not a number with a unit"),
        ("--1s", "it is not a number with a unit"),
        ("1s-1s", "`s-` is no unit; the units are ns us ms s m h"),
        ("٣s", "it is not a number with a unit"),
        ("1_0s", "`_` is no unit; the units are ns us ms s m h"),
        ("2562048h", "it is longer than 292 years"),
        ("9" * 400 + "s", "it is longer than 292 years"),
    ],
)
def test_a_duration_that_is_none_is_explained(text: str, why: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_duration(text)
    assert str(raised.value) == why


@given(st.integers(0, 10**9), st.sampled_from(["ns", "us", "ms", "s"]))
def test_durations_keep_their_value(number: int, unit: str) -> None:
    scale = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}[unit]
    assert parse_duration(f"{number}{unit}") == pytest.approx(number / scale, abs=1e-9)


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert abs(parse_duration(text)) < 1e10
    except ValueError as wrong:
        assert str(wrong)


@pytest.mark.parametrize(
    ("text", "size"),
    [("3500", 3500), ("0", 0), ("10B", 10), ("64KB", 65536), ("1mb", 1 << 20), ("2Gb", 2 << 30)],
)
def test_sizes_count_in_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.5MB", "1 KB", "1_0", "١", "10k", "1TB", "KB", "1Kb²", "1K\u017f"]
)
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


def test_a_size_has_63_bits() -> None:
    assert parse_size(str(NO_LIMIT)) == NO_LIMIT
    with pytest.raises(ValueError):
        parse_size(str(NO_LIMIT + 1))
    with pytest.raises(ValueError):
        parse_size("9999999999GB")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("12", 12), ("-3", -3), ("+4", 4)])
def test_counts(text: str, number: int) -> None:
    assert parse_count(text) == number


@pytest.mark.parametrize("text", ["", "1_0", "1.0", "٣", " 1", "1\n", "0x1", "9" * 5000])
def test_a_count_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_count(text)


@pytest.mark.parametrize(("text", "percent"), [("20%", 20.0), ("20", 20.0), ("0.5%", 0.5), ("125%", 125.0)])
def test_percents(text: str, percent: float) -> None:
    assert parse_percent(text) == percent


@pytest.mark.parametrize(
    "text", ["", "%", "-1%", "1e2%", "٥%", "1.%", ".5%", "20 %", "1_0", "nan", "1234567"]
)
def test_what_is_no_percent(text: str) -> None:
    with pytest.raises(ValueError, match="digits"):
        parse_percent(text)
