"""Frozen data of the directive `metrics`."""

from __future__ import annotations

from dataclasses import dataclass, field

from posthouse.errors import NOWHERE, Place


@dataclass(frozen=True, slots=True)
class MetricsSpec:
    """`metrics`: which paths of a site tell how Posthouse fares.

    path           what was counted, for Prometheus
    health, ready  whether it lives, and whether it takes requests; "" = not asked for
    """

    path: str = "/metrics"
    health: str = ""
    ready: str = ""
    place: Place = field(default=NOWHERE, compare=False)
