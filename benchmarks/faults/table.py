"""The matrix as text: one line per fault and proxy, for a terminal and for docs/faults.md."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.faults.judge import Verdict

HEADINGS = (
    "fault",
    "proxy",
    "asked",
    "lost GETs",
    "POSTs twice",
    "false ends",
    "lost POSTs",
    "cut off",
    "moved after",
    "slowest",
)
"""The three that must be zero come first. lost POSTs: in brackets how many of them a backend had executed."""

WIDTHS = (32, 11, 7, 11, 12, 11, 12, 9, 12, 9)


def cells(title: str, name: str, verdict: Verdict) -> list[str]:
    """The cells of a line, in the order of HEADINGS."""
    return [
        title,
        name,
        str(verdict.asked),
        str(verdict.lost),
        str(verdict.doubled),
        str(verdict.short + verdict.foreign),
        f"{verdict.lost_posts} ({verdict.lost_posts_executed})" if verdict.lost_posts else "0",
        str(verdict.cut),
        "to its end" if verdict.moved is None else f"{verdict.moved:.1f} s",
        f"{verdict.slowest:.1f} s",
    ]


def line(texts: tuple[str, ...] | list[str]) -> str:
    """A line for a terminal."""
    left = "".join(f"{text:<{width}}" for text, width in zip(texts[:2], WIDTHS[:2], strict=True))
    return left + "".join(f"{text:>{width}}" for text, width in zip(texts[2:], WIDTHS[2:], strict=True))


def markdown(found: Mapping[str, Mapping[str, Verdict]], titles: Mapping[str, str]) -> str:
    """The table of docs/faults.md. found: verdicts by fault and proxy."""
    rows = [list(HEADINGS), ["---"] * 2 + ["--:"] * (len(HEADINGS) - 2)]
    for name, verdicts in found.items():
        for place, (proxy, verdict) in enumerate(verdicts.items()):
            rows.append(cells(titles[name] if place == 0 else "", proxy, verdict))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
