"""The text that Prometheus reads: its own format (0.0.4), and OpenMetrics 1.0 for who asks for that.

https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from posthouse.observe.families import FAMILIES, Family, Kind
from posthouse.observe.snapshot import Histogram, Labels, Sample, Snapshot

TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
ROWS_AT_ONCE: Final = 64
"""Of a histogram, a thousand lines."""
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
    return b"".join(pieces(snapshot, is_open=is_open))


def pieces(snapshot: Snapshot, *, is_open: bool = False) -> Iterator[bytes]:
    """The same piece by piece, each made in a millisecond or so: thousands of sites make megabytes."""
    for family in FAMILIES.values():
        rows = snapshot.rows.get(family.name)
        if not rows:
            continue
        shown = family.name.removesuffix("_total") if is_open and family.kind is Kind.COUNTER else family.name
        lines = [f"# HELP {shown} {_escaped(family.help)}\n# TYPE {shown} {family.kind}\n"]
        series = _Series(family)
        for number, (labels, sample) in enumerate(rows.items(), 1):
            lines.append(series.lines(labels, sample))
            if not number % ROWS_AT_ONCE:
                yield _written(lines)
                lines = []
        yield _written(lines)
    if is_open:
        yield b"# EOF\n"


class _Series:
    """Writes the rows of one family."""

    def __init__(self, family: Family) -> None:
        self._name = family.name
        self._labels = [f'{name}="' for name in family.labels]
        # Python's own form of a float is also the canonical one of OpenMetrics.
        self._bounds = [f'le="{bound!r}"}} ' for bound in family.buckets] + ['le="+Inf"} ']

    def lines(self, labels: Labels, sample: Sample) -> str:
        """With line breaks."""
        pairs = [f'{head}{_escaped_value(value)}"' for head, value in zip(self._labels, labels, strict=True)]
        inside = ",".join(pairs)
        where = f"{{{inside}}}" if inside else ""
        if not isinstance(sample, Histogram):
            return f"{self._name}{where} {sample!r}\n"
        below = 0
        lines = []
        head = f"{self._name}_bucket{{{inside}," if inside else f"{self._name}_bucket{{"
        for bound, count in zip(self._bounds, sample.counts, strict=True):
            below += count
            lines.append(f"{head}{bound}{below}\n")
        lines.append(f"{self._name}_sum{where} {sample.total!r}\n{self._name}_count{where} {below}\n")
        return "".join(lines)


def _written(lines: list[str]) -> bytes:
    return "".join(lines).encode("utf-8", "replace")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escaped_value(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
