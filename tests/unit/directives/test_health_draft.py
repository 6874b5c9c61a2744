"""Health checks of a block as a whole: what excludes each other, and what does nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import adapt

FindMistakes = Callable[[str], list[str]]


def notices(*properties: str, to: str = "a") -> list[str]:
    """What is warned of, each as "LINE:COLUMN message", the first property on line 1."""
    block = "\n".join(properties)
    config = adapt(f"localhost {{\nproxy / {to} {{\n{block}\n}}\n}}\n", "Caddyfile", env={}).config
    return [
        f"{one.place.line - 2}:{one.place.column} {one.message}"
        for one in config.notices
        if "HTTPS" not in one.message
    ]


def test_nothing_to_warn_of() -> None:
    assert notices() == []
    assert notices("health_check /h") == []
    assert notices("health_check_tcp", "health_check_port 3", "health_check_fails 2") == []
    assert notices("health_check_interval 60s", "health_check /h", "health_check_port 3") == []


@pytest.mark.parametrize(
    "name", ["port 1", "interval 90s", "contains x", "status 200", "drain 503", "passes 2"]
)
def test_without_a_check_the_others_do_nothing(name: str) -> None:
    written = name.split()[0]
    assert notices("transparent", f"health_check_{name}") == [
        f"2:1 `health_check_{written}` does nothing without `health_check` or `health_check_tcp`"
    ]


def test_an_empty_path_is_off() -> None:
    assert notices('health_check ""', "health_check_fails 2") == [
        "1:1 `health_check` without a path is off: there are no health checks",
        "2:1 `health_check_fails` does nothing without `health_check` or `health_check_tcp`",
    ]


def test_where_nothing_is_asked_answers_do_not_count() -> None:
    lines = ["contains x", "status 200", "header A b", "method HEAD", "drain 503"]
    found = notices("health_check_tcp", *(f"health_check_{line}" for line in lines))
    assert found == [
        f"{number}:1 `health_check_{line.split()[0]}` does nothing with `health_check_tcp`, which only connects"
        for number, line in enumerate(lines, 2)
    ]


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (["health_check_timeout 31s"], "2:1"),
        (["health_check_interval 59s"], "2:1"),
        (["health_check_interval 1s", "health_check_timeout 2s"], "3:1"),
        (["health_check_timeout 2s", "health_check_interval 1s"], "2:1"),
    ],
)
def test_a_timeout_above_the_interval(lines: list[str], place: str) -> None:
    [found] = notices("health_check /h", *lines)
    assert found.startswith(place + " a check may take ")
    assert found.endswith("of `health_check_interval`: a backend that hangs is found out late")


def test_a_timeout_as_long_as_the_interval_is_fine() -> None:
    assert notices("health_check /h", "health_check_timeout 30s") == []
    assert notices("health_check /h", "health_check_interval 60s") == []


def test_a_unix_socket_has_no_port() -> None:
    assert notices("health_check /h", "health_check_port 3", to="a unix:/s b") == [
        "2:1 `health_check_port` does not act on `unix:/s`"
    ]


def test_asking_and_only_connecting_exclude_each_other(find_mistakes: FindMistakes) -> None:
    assert find_mistakes("proxy / a {\nhealth_check_tcp\nhealth_check /h\n}") == [
        "2:1 `health_check_tcp` and `health_check` exclude each other: one only connects, the other also asks"
    ]


def test_there_is_no_body_to_look_into(find_mistakes: FindMistakes) -> None:
    assert find_mistakes(
        "proxy / a {\nhealth_check /h\nhealth_check_contains x\nhealth_check_method HEAD\n}"
    ) == ["3:1 the answer to HEAD has no body, so `health_check_contains` would never be found in it"]
