"""What the tests of this folder make pools from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from posthouse.balance.backend import Backend
from posthouse.balance.ledger import SHEET_CELLS
from posthouse.balance.policy import Setting
from posthouse.balance.pool import Pool, build_pool
from posthouse.balance.watch import Watch
from posthouse.config.specs import EndpointSpec, PassiveSpec, PolicySpec, PoolSpec, RetrySpec

NOTHING_REMEMBERED = PassiveSpec()
ONE_ATTEMPT = RetrySpec()


def endpoint(text: str) -> EndpointSpec:
    """`endpoint("a")` is http://a:80."""
    return EndpointSpec(f"http://{text}:80", "http", text, 80, authority=text)


def make_backend(
    text: str = "a", *, max_conns: int = 0, passive: PassiveSpec = NOTHING_REMEMBERED
) -> Backend:
    backend = Backend(endpoint(text), 1, Watch())
    backend.configure(endpoint(text), max_conns, passive)
    return backend


def setting(backends: Sequence[Backend], seed: int = 1, **options: Any) -> Setting:
    """What a policy for these backends is made for; options: other fields of it."""
    return Setting(tuple(backends), random.Random(seed), **options)


def make_backends(count: int) -> list[Backend]:
    watch = Watch()
    return [Backend(endpoint(f"b{number}"), 1, watch) for number in range(count)]


def pool_spec(
    hosts: Sequence[str],
    policy: str = "first",
    *args: str,
    passive: PassiveSpec = NOTHING_REMEMBERED,
    retry: RetrySpec = ONE_ATTEMPT,
    weights: Sequence[int] = (),
    fallbacks: int = 0,
    **options: Any,
) -> PoolSpec:
    """weights: of the first ones; fallbacks: how many at the end are that; options: other fields"""
    endpoints = [endpoint(host) for host in hosts]
    for place, weight in enumerate(weights):
        endpoints[place] = replace(endpoints[place], weight=weight)
    for place in range(len(hosts) - fallbacks, len(hosts)):
        endpoints[place] = replace(endpoints[place], role="fallback")
    return PoolSpec("site /", tuple(endpoints), PolicySpec(policy, args), passive, retry, **options)


def make_pool(spec: PoolSpec, seed: int = 1, previous: Pool | None = None) -> Pool:
    """Built and started."""
    pool = build_pool(spec, random.Random(seed), previous)
    pool.start()
    return pool


class Request:
    """A Choice written out by hand."""

    def __init__(self, peer: str = "192.0.2.1", target: bytes = b"/", **fields: str) -> None:
        self.peer = self.client_ip = peer
        self.is_secure = False
        self.wall = 1_700_000_000.0
        self.target = target
        self._fields = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}

    def field(self, name: bytes) -> bytes | None:
        return self._fields.get(name)


class OneSheet:
    """One worker's of those that `sheets` makes."""

    def __init__(self, cells: memoryview, column: int) -> None:
        self.cells = cells
        self.at = column * SHEET_CELLS
        self.starts = range(0, len(cells), SHEET_CELLS)
        self.locked = 0

    def begin(self, at: int, width: int, number: int) -> None:
        for cell in range(at, at + width):
            self.cells[cell] = 0
        self.cells[at] = number

    def lock(self) -> None:
        assert not self.locked
        self.locked = 1

    def unlock(self) -> None:
        assert self.locked
        self.locked = 0


def sheets(workers: int) -> list[OneSheet]:
    """Those of all workers, about one thing."""
    cells = memoryview(bytearray(workers * SHEET_CELLS * 8)).cast("q")
    return [OneSheet(cells, column) for column in range(workers)]
