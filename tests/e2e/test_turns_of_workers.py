"""Round robin with real workers: however the kernel spreads connections, each backend has its part of all requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from kit import Posthouse, ScriptedBackend, get, response
from kit.backend import BackendConnection
from kit.http1 import Request

CADDYFILE = """http://127.0.0.1:PORT {
    bind 127.0.0.1
    proxy /even A B C {
        policy round_robin
    }
    proxy /weighted {
        upstream A weight=3
        upstream B weight=2
        upstream C
        policy round_robin
    }
}
"""
REQUESTS = 120
WEIGHTS = (3, 2, 1)


class Scene:
    def __init__(self, posthouse: Posthouse, counts: Counter[int], workers: int) -> None:
        self.posthouse = posthouse
        self.counts = counts
        self.workers = workers

    def ask(self, path: str) -> list[int]:
        """Many requests, each on a connection of its own; how many each backend got."""
        self.counts.clear()
        for _ in range(REQUESTS):
            assert get(self.posthouse.port, path, host="127.0.0.1").status == 200
        return [self.counts[place] for place in range(len(WEIGHTS))]


@pytest.fixture(scope="module", params=[2, 4])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    counts: Counter[int] = Counter()
    with (
        ScriptedBackend() as a,
        ScriptedBackend() as b,
        ScriptedBackend() as c,
        Posthouse(CADDYFILE, A=a.address, B=b.address, C=c.address, workers=request.param) as posthouse,
    ):
        for place, backend in enumerate((a, b, c)):

            def answer(asked: Request, connection: BackendConnection, place: int = place) -> bytes:
                counts[place] += 1
                return response(200)

            backend.on_request = answer
        yield Scene(posthouse, counts, request.param)


def test_each_backend_gets_its_part(scene: Scene) -> None:
    """At most as many more or less as the page about workers says."""
    part = 1 / len(WEIGHTS)
    for count in scene.ask("/even"):
        assert abs(count - REQUESTS * part) <= scene.workers * (1 - part)


def test_each_backend_gets_its_part_by_weight(scene: Scene) -> None:
    for count, weight in zip(scene.ask("/weighted"), WEIGHTS, strict=True):
        part = weight / sum(WEIGHTS)
        assert abs(count - REQUESTS * part) <= scene.workers * (1 + part * (len(WEIGHTS) - 2))
