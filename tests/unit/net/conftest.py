"""Fixtures of tests with real sockets: an event loop of each kind that tolerates no forgotten exception."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from posthouse.server import loops


@pytest.fixture(params=[name for name in loops.CHOICES if name != "uvloop" or loops.has_uvloop()])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """Each kind of event loop that is installed, in turn; whatever it was not told what to do with fails the test."""
    complaints: list[dict[str, Any]] = []
    made = loops.factory(request.param)()
    made.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        yield made
        gc.collect(1)
        made.run_until_complete(asyncio.sleep(0))
    finally:
        made.run_until_complete(made.shutdown_default_executor())
        made.close()
    assert not complaints
