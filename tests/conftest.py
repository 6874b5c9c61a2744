"""Fixtures that every test may use; the kit itself is in tests/kit (`from kit import ...`)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from kit import Posthouse, ScriptedBackend, Stage
from kit.stage import ONE_ROUTE

# A timing never decides whether a test passes.
if hypothesis.settings().deadline is not None:  # else `make fuzz` has said so already, and more
    hypothesis.settings.register_profile("ours", deadline=None)
    hypothesis.settings.load_profile("ours")


def pytest_configure() -> None:
    """A run that is told to end (`timeout`, a cancelled job) ends as with ^C: fixtures stop what they started.

    Else every process that runs just then, and its directory, would be left behind.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)


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


@pytest.fixture(scope="module")
def shared_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage with the module's CADDYFILE, started once."""
    with Stage(getattr(request.module, "CADDYFILE", ONE_ROUTE)) as started:
        yield started


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """The module's stage, as good as new; what Posthouse wrote meanwhile is shown if the test fails.

    Whatever a peer does, it is no internal error, and Posthouse lives on.
    """
    shared_stage.clear()
    before = len(shared_stage.posthouse.stderr())
    yield shared_stage
    written = shared_stage.posthouse.stderr()[before:]
    print(written)
    assert "internal error" not in written
    assert "Traceback" not in written
    assert shared_stage.posthouse.process.poll() is None
