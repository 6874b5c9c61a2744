"""Fixtures of the server's tests: an event loop of each kind, a log that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from posthouse.server import loops
from unit.server.fakes import Remembering


@pytest.fixture
def log() -> Remembering:
    return Remembering()


@pytest.fixture(params=[name for name in loops.CHOICES if name != "uvloop" or loops.has_uvloop()])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """Each kind of event loop that is installed, in turn."""
    made = loops.factory(request.param)()
    failed_before = request.node.session.testsfailed
    try:
        yield made
    finally:
        made.run_until_complete(asyncio.sleep(0))
        # A failed test leaves transports open, and uvloop waits in close() for those; the failure is to be seen.
        if request.node.session.testsfailed == failed_before:
            made.close()
