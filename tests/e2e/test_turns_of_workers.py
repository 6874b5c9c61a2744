"""Round robin with real workers: whichever of them the kernel gives a connection to, all backends get their parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from kit import Posthouse, ScriptedBackend, get, response
from kit.backend import BackendConnection
from kit.http1 import Request
from posthouse.admin.client import ask

CADDYFILE = """http://127.0.0.1:PORT {
    bind 127.0.0.1
    proxy /even A B C {
        policy round_robin
        name even
    }
    proxy /weighted {
        upstream A weight=3
        upstream B weight=2
        upstream C
        policy round_robin
    }
    proxy /header A B C {
        policy header X-Key
    }
    proxy /query A B C {
        policy query key
    }
    proxy /cookie A B C {
        policy cookie key
    }
    proxy /sticky A B C {
        policy sticky
    }
}
"""
REQUESTS = 120
WEIGHTS = (3, 2, 1)


class Scene:
    def __init__(self, posthouse: Posthouse, backends: list[ScriptedBackend], counts: Counter[int]) -> None:
        self.posthouse = posthouse
        self.backends = backends
        self.counts = counts
        self.reloads = 0

    def ask(self, path: str, requests: int = REQUESTS) -> list[int]:
        """So many, each on a connection of its own; how many each backend got."""
        self.counts.clear()
        for _ in range(requests):
            assert get(self.posthouse.port, path, host="127.0.0.1").status == 200
        return [self.counts[place] for place in range(len(WEIGHTS))]

    def order(self, act: str, which: int) -> None:
        name = f"http://{self.backends[which].address}"
        query = urlencode({"order": act, "pool": "even", "backend": name, "weight": ""})
        status, report = ask(self.posthouse.admin_socket(), "POST", f"/backend?{query}")
        assert (status, report.get("unconfirmed")) == (200, 0), report

    def reload(self) -> None:
        self.reloads += 1
        self.posthouse.reload(CADDYFILE.replace("policy header X-Key", f"policy header X-Key-{self.reloads}"))
        self.posthouse.wait_stderr(rf" INFO reloaded .*generation={self.reloads + 1} ")


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
        yield Scene(posthouse, [a, b, c], counts)


def is_even(counts: list[int]) -> bool:
    return max(counts) - min(counts) <= 1


def test_each_backend_gets_its_part(scene: Scene) -> None:
    """Exactly, and after however many requests."""
    for requests in (REQUESTS, 1, 7, REQUESTS):
        counts = scene.ask("/even", requests)
        assert sum(counts) == requests and is_even(counts)


@pytest.mark.parametrize("path", ["/header", "/query", "/cookie", "/sticky"])
def test_who_has_no_key_takes_the_same_turns(scene: Scene, path: str) -> None:
    assert is_even(scene.ask(path, REQUESTS - 1))


def test_each_backend_gets_its_part_by_weight(scene: Scene) -> None:
    assert scene.ask("/weighted") == [REQUESTS * weight // sum(WEIGHTS) for weight in WEIGHTS]


def test_a_backend_that_is_away_is_passed_over(scene: Scene) -> None:
    scene.order("drain", 0)
    counts = scene.ask("/even", REQUESTS - 1)
    assert counts[0] == 0 and is_even(counts[1:])
    scene.order("undrain", 0)
    assert is_even(scene.ask("/even", REQUESTS - 1))


def test_a_reload_goes_on_where_it_was(scene: Scene) -> None:
    """One request between two reloads: a cursor that began anew would favour somebody."""
    counts: Counter[int] = Counter()
    for _ in range(7):
        scene.reload()
        scene.ask("/even", 1)
        counts += scene.counts
    assert is_even([counts[place] for place in range(len(WEIGHTS))])
