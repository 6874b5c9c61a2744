"""The text that Prometheus reads: its own format (0.0.4), and OpenMetrics 1.0 for who asks for that.

https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from posthouse.observe.families import FAMILIES, Family, Kind
from posthouse.observe.snapshot import Histogram, Sample, Snapshot

TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
_ASKS_FOR_OPEN: Final = b"application/openmetrics-text"


def media_type(accept: bytes | None) -> bytes:
    """TEXT, or OPEN_METRICS for who names that in Accept (a scraper that can read it asks for it first)."""
    for part in (accept or b"").lower().split(b","):
        name, *parameters = [word.strip() for word in part.split(b";")]
        if name == _ASKS_FOR_OPEN and b"q=0" not in parameters:
            return OPEN_METRICS
    return TEXT


def render(snapshot: Snapshot, *, is_open: bool = False) -> bytes:
    """A snapshot as text; is_open: OpenMetrics. Families without rows are left out."""
    lines: list[str] = []
    for family in FAMILIES.values():
        rows = snapshot.rows.get(family.name)
        if not rows:
            continue
        is_counter = family.kind is Kind.COUNTER
        shown = family.name.removesuffix("_total") if is_open and is_counter else family.name
        lines.append(f"# HELP {shown} {_escaped(family.help)}")
        lines.append(f"# TYPE {shown} {family.kind}")
        for labels in sorted(rows):
            pairs = [
                f'{name}="{_escaped(value, is_label=True)}"'
                for name, value in zip(family.labels, labels, strict=True)
            ]
            lines += _lines(family, pairs, rows[labels])
    if is_open:
        lines.append("# EOF")
    return "".join([f"{line}\n" for line in lines]).encode("utf-8", "replace")


def _lines(family: Family, pairs: list[str], sample: Sample) -> Iterator[str]:
    name = family.name
    if not isinstance(sample, Histogram):
        yield f"{_series(name, pairs)} {_number(sample)}"
        return
    below = 0
    for bound, count in zip((*family.buckets, math.inf), sample.counts, strict=True):
        below += count
        yield f"{_series(f'{name}_bucket', [*pairs, _bound(bound)])} {below}"
    yield f"{_series(f'{name}_sum', pairs)} {_number(sample.total)}"
    yield f"{_series(f'{name}_count', pairs)} {below}"


def _series(name: str, pairs: list[str]) -> str:
    return f"{name}{{{','.join(pairs)}}}" if pairs else name


def _bound(bound: float) -> str:
    return 'le="+Inf"' if bound == math.inf else f'le="{bound!r}"'


def _number(value: float) -> str:
    return repr(value)


def _escaped(text: str, *, is_label: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if is_label else text
