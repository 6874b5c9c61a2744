from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import MetricsSpec, SiteSpec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("metrics", MetricsSpec()),
        ("metrics /numbers", MetricsSpec("/numbers")),
        ("metrics {\nhealth\nready /up\n}", MetricsSpec("/metrics", "/health", "/up")),
        ("metrics /m { health ready }", MetricsSpec("/m", "/health", "/ready")),
        ("metrics /health { ready }", MetricsSpec("/health", "", "/ready")),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, spec: MetricsSpec) -> None:
    assert read_site(text).metrics == spec


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("metrics /a /b", "1:12 too many arguments for `metrics`: found `/b`, expected at most 1 argument"),
        ("metrics numbers", "1:9 the path of `metrics` must begin with `/`, found `numbers`"),
        ("metrics /a?b", "1:9 expected a path without a query, found `/a?b`"),
        ("metrics\nmetrics /b", "2:1 this site has `metrics` already (Caddyfile:2:1)"),
        ("metrics { health up }", "1:18 the path of `health` must begin with `/`, found `up`"),
        ("metrics { health /metrics }", "1:18 `/metrics` is the path of `metrics` already"),
        ("metrics { health /a ready /a }", "1:27 `/a` is the path of `health` already"),
        ("metrics /ready { ready }", "1:18 `/ready` is the path of `metrics` already"),
        ("metrics { health\nhealth }", "2:1 `health` is here already"),
        ("metrics { heath }", "1:11 unknown property `heath` of `metrics`"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    (found,) = find_mistakes(text)
    assert found.startswith(mistake)
