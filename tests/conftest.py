"""Fixtures that every test may use; the kit itself is in tests/kit (`from kit import ...`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kit import Posthouse, ScriptedBackend


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    """A backend of this test's own, answering 200 "ok" until told otherwise."""
    with ScriptedBackend() as started:
        yield started


@pytest.fixture
def start_posthouse() -> Iterator[Callable[..., Posthouse]]:
    """Start Posthouse with the arguments of `kit.Posthouse`; stopped at the end of the test."""
    started: list[Posthouse] = []

    def start(caddyfile: str, **options: object) -> Posthouse:
        started.append(Posthouse(caddyfile, **options))  # type: ignore[arg-type]
        return started[-1]

    try:
        yield start
    finally:
        for posthouse in started:
            posthouse.stop()
