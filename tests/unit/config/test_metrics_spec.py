from __future__ import annotations

from posthouse.config.metrics_spec import MetricsSpec
from posthouse.errors import Place


def test_where_it_was_written_makes_no_difference() -> None:
    assert MetricsSpec(place=Place("a", 1, 1)) == MetricsSpec(place=Place("b", 2, 2))
    assert MetricsSpec().path == "/metrics" and not MetricsSpec().health and not MetricsSpec().ready
