"""The properties about failures and retries, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from posthouse.config.specs import BreakerSpec, PassiveSpec, RetrySpec, SiteSpec
from posthouse.directives.proxy import PROPERTIES

ReadSite = Callable[[str], SiteSpec]
FindMistakes = Callable[[str], list[str]]

PASSIVE: list[tuple[str, dict[str, Any]]] = [
    ("fail_timeout 10s", {"fail_timeout": 10.0}),
    ("fail_timeout off", {"fail_timeout": 0.0}),
    ("fail_timeout -1s", {"fail_timeout": 0.0}),
    ("max_fails 3", {"max_fails": 3}),
    ("unhealthy_status 5xx 429 502-504", {"statuses": ((500, 599), (429, 429), (502, 504))}),
    ("unhealthy_status 500\nunhealthy_status 501", {"statuses": ((501, 501),)}),
    ("unhealthy_status 500\nunhealthy_status off", {"statuses": ()}),
    ("unhealthy_latency 2s", {"latency": 2.0}),
    ("unhealthy_latency 1ms", {"latency": 0.001}),
    ("unhealthy_latency off", {"latency": None}),
    ("max_ejected 50%", {"max_ejected": 50.0}),
    ("max_ejected 33.3", {"max_ejected": 33.3}),
    ("max_ejected 0%", {"max_ejected": 0.0}),
    ("panic on", {"panic": True}),
    ("panic off", {"panic": False}),
    ("breaker", {"breaker": BreakerSpec()}),
    (
        "breaker errors=20% latency=1.5s window=1m min=5 open=10s trials=3",
        {"breaker": BreakerSpec(20.0, 1.5, 60.0, 5, 10.0, 3)},
    ),
    ("breaker errors=off latency=2s", {"breaker": BreakerSpec(None, 2.0)}),
    ("breaker\nbreaker off", {"breaker": None}),
]
RETRY: list[tuple[str, dict[str, Any]]] = [
    ("try_duration 5s", {"duration": 5.0}),
    ("try_duration -5s", {"duration": 0.0}),
    ("try_interval 1s", {"interval": 1.0}),
    ("try_count 1", {"count": 1}),
    ("replay_limit 64KB", {"replay_limit": 65536}),
    ("replay_limit 0", {"replay_limit": 0}),
    ("retry_on 503", {"kinds": ("503",)}),
    ("retry_on connect 502 all_methods", {"kinds": ("connect", "502"), "all_methods": True}),
    ("retry_on all_methods", {"all_methods": True}),
    ("retry_on all_methods\nretry_on reset", {"kinds": ("reset",)}),
    ("retry_budget 50%", {"budget": 50.0, "budget_least": 10.0}),
    ("retry_budget 0% 3", {"budget": 0.0, "budget_least": 3.0}),
    ("retry_budget off", {"budget": None}),
]


@pytest.mark.parametrize("layout", ["{{\n{0}\n}}", "{{ transparent {1} policy first }}"])
@pytest.mark.parametrize(("text", "values"), PASSIVE)
def test_passive(read_site: ReadSite, text: str, values: dict[str, Any], layout: str) -> None:
    site = read_site(f"proxy / a {layout.format(text, text.replace(chr(10), ' '))}")
    assert site.routes[0].pool.passive == PassiveSpec(**values)


@pytest.mark.parametrize("layout", ["{{\n{0}\n}}", "{{ transparent {1} policy first }}"])
@pytest.mark.parametrize(("text", "values"), RETRY)
def test_retry(read_site: ReadSite, text: str, values: dict[str, Any], layout: str) -> None:
    site = read_site(f"proxy / a {layout.format(text, text.replace(chr(10), ' '))}")
    assert site.routes[0].pool.retry == RetrySpec(**values)


BREAKER_FORM = "`errors=50%`, `latency=2s`, `window=10s`, `min=20`, `open=30s` or `trials=1`"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("max_fails 0", "2:11 must be at least 1, found `0`"),
        (
            "unhealthy_status 99",
            "2:18 expected a status such as `200`, `2xx` or `200-399` (200 to 599), found `99`",
        ),
        ("unhealthy_latency 0", "2:19 expected a duration of at least `1ms`, found `0`"),
        ("max_ejected 101%", "2:13 must be at most 100%, found `101%`"),
        (
            "max_ejected half",
            "2:13 expected a share such as `20%`, found `half`: only digits, a point and `%` can be in it",
        ),
        ("panic yes", "2:7 expected `on` or `off`, found `yes`"),
        ("breaker error=5%", f"2:9 expected {BREAKER_FORM}, found `error=5%`"),
        ("breaker errors", "2:9 `errors=` of `breaker` has no value"),
        ("breaker errors=", "2:9 `errors=` of `breaker` has no value"),
        ("breaker min=2 min=3", "2:15 `min=` of `breaker` is there twice"),
        ("breaker errors=0%", "2:9 a breaker that opens at 0% of errors would always be open"),
        ("breaker errors=101%", "2:9 must be at most 100%, found `errors=101%`"),
        ("breaker errors=off", "2:1 a breaker with neither `errors=` nor `latency=` would never open"),
        ("breaker window=0", "2:9 expected a duration of at least `1ms`, found `window=0`"),
        ("breaker trials=0", "2:9 must be at least 1, found `trials=0`"),
        ("breaker trials=1001", "2:9 must be at most 1000, found `trials=1001`"),
        ("try_duration off", "2:14 retries always end"),
        ("try_count 0", "2:11 must be at least 1, found `0`"),
        (
            "retry_on conect",
            "2:10 expected one of `connect` `reset` `timeout` `502` `503` `504`, or `all_methods`, found `conect`",
        ),
        (
            "retry_on 500",
            "2:10 expected one of `connect` `reset` `timeout` `502` `503` `504`, or `all_methods`, found `500`",
        ),
        ("retry_budget 1001%", "2:14 must be at most 1000%, found `1001%`"),
        ("retry_budget off 3", "2:18 `retry_budget off` has no minimum: there is no limit"),
        ("retry_budget 20% -1", "2:18 must be at least 0, found `-1`"),
    ],
)
def test_mistakes(find_mistakes: FindMistakes, text: str, mistake: str) -> None:
    assert find_mistakes(f"proxy / a {{\n{text}\n}}") == [mistake]


def test_every_property_of_the_module_is_tested_above() -> None:
    named = {text.split()[0] for text, _ in (*PASSIVE, *RETRY)}
    module = "posthouse.directives.failure_properties"
    assert named == {name for name, one in PROPERTIES.items() if one.read.__module__ == module}
