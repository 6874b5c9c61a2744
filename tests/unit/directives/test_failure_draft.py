"""Failures and retries of a block as a whole: what excludes each other, and what does nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import adapt

FindMistakes = Callable[[str], list[str]]


def notices(*properties: str, to: str = "a") -> list[str]:
    """What is warned of, each as "LINE:COLUMN message", the first property on line 1."""
    block = "\n".join(properties)
    config = adapt(f"http://localhost {{\nproxy / {to} {{\n{block}\n}}\n}}\n", "Caddyfile", env={}).config
    return [f"{one.place.line - 2}:{one.place.column} {one.message}" for one in config.notices]


def test_nothing_to_warn_of() -> None:
    assert notices() == []
    assert notices("max_fails 2", "try_interval 1s", "replay_limit 1KB") == [], "as old files have them"
    assert notices("fail_timeout 1s", "unhealthy_status 500", "unhealthy_latency 1s") == []
    assert notices("breaker", "unhealthy_status 500", "panic on") == []
    assert notices("fail_timeout 1s", "max_ejected 50%", to="a b") == []
    assert notices("health_check /", "panic on") == []
    assert notices("try_count 2", "retry_on 503", "retry_budget 5%") == []
    assert notices("try_duration 1s", "retry_on 503") == []


@pytest.mark.parametrize("line", ["retry_on 503", "retry_budget 5%"])
@pytest.mark.parametrize("off", ["transparent", "try_count 1", "try_duration 0"])
def test_without_retries(line: str, off: str) -> None:
    name = line.split()[0]
    assert notices(off, line) == [f"2:1 `{name}` does nothing without `try_duration` or `try_count`"]


@pytest.mark.parametrize("line", ["unhealthy_status 500", "unhealthy_latency 1s", "max_ejected 50%"])
def test_where_nothing_is_remembered(line: str) -> None:
    name = line.split()[0]
    assert notices("max_fails 3", line) == [f"2:1 `{name}` does nothing without `fail_timeout` or `breaker`"]


def test_panic_where_nobody_is_ever_out() -> None:
    assert notices("panic on") == ["1:1 `panic` does nothing where no backend is ever left out"]


def test_a_share_below_one_backend() -> None:
    assert notices("fail_timeout 1s", "max_ejected 49%", to="a b") == [
        "2:1 49% of 2 is less than one backend: none is ever left out because of failures"
    ]


@pytest.mark.parametrize("count", [2, 3])
def test_one_attempt_and_several_exclude_each_other(find_mistakes: FindMistakes, count: int) -> None:
    text = f"proxy / a {{\ntry_count {count}\ntry_duration 0\n}}"
    assert find_mistakes(text) == [f"3:1 `try_duration 0` is one attempt, and `try_count` asks for {count}"]
    assert find_mistakes("proxy / a {\ntry_count 1\ntry_duration 0\n}") == []
