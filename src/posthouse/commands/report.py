"""What a person is told when something could not be done: on stderr, never a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from posthouse.errors import ConfigError, Notice

NO_SOURCES: Mapping[str, str] = {}


def complain(message: str) -> None:
    """One line "posthouse: …" on stderr."""
    _print(f"posthouse: {message}")


def complain_of_refusal(what: str, status: int, report: Mapping[str, Any]) -> None:
    """What a Posthouse that was asked over its admin socket did not do, and why. report: its answer (docs/admin.md)"""
    for mistake in report.get("mistakes", ()):
        _print(mistake["shown"])
    complain(f"{what}: {report.get('error', f'it says {status}')}")


def complain_of_mistakes(error: ConfigError, sources: Mapping[str, str] = NO_SOURCES) -> None:
    """Each mistake as a compiler would show it, and how many they are.

    sources  file name to text; what the error itself carries (adapt's does) is used first
    """
    from posthouse.caddyfile.messages import render

    texts = {**sources, **getattr(error, "sources", {})}
    for mistake in error.mistakes:
        _print(render(mistake, texts))
    files = sorted({mistake.place.file for mistake in error.mistakes if mistake.place.file})
    count = len(error.mistakes)
    where = f" in {', '.join(files)}" if files else ""
    complain(f"{count} mistake{'s' if count > 1 else ''}{where}")


def show_notices(notices: tuple[Notice, ...], sources: Mapping[str, str]) -> None:
    """Each warning about a configuration that is used all the same."""
    from posthouse.caddyfile.messages import render

    for notice in notices:
        _print(f"warning: {render(notice, sources)}")


def _print(text: str) -> None:
    if sys.stderr is None:  # closed by who started us; print() would take stdout instead
        return
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
        print(text, file=sys.stderr, flush=True)
