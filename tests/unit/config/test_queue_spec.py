"""The defaults that the surface promises."""

from __future__ import annotations

from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import PoolSpec


def test_the_defaults() -> None:
    assert QueueSpec() == QueueSpec(size=100, wait=1.0)
    assert PoolSpec("", ()).queue == QueueSpec()
