"""What the tests of this folder make pools from."""

from __future__ import annotations

import random
from collections.abc import Sequence

from posthouse.balance.backend import Backend, Watch
from posthouse.balance.pool import Pool, build_pool
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import EndpointSpec, PassiveSpec, PolicySpec, PoolSpec

NOTHING_REMEMBERED = PassiveSpec()
QUEUE = QueueSpec()


def endpoint(text: str) -> EndpointSpec:
    """`endpoint("a")` is http://a:80."""
    return EndpointSpec(f"http://{text}:80", "http", text, 80, authority=text)


def make_backend(
    text: str = "a", *, max_conns: int = 0, passive: PassiveSpec = NOTHING_REMEMBERED
) -> Backend:
    backend = Backend(endpoint(text), 1, Watch())
    backend.configure(endpoint(text), max_conns, passive)
    return backend


def make_backends(count: int) -> list[Backend]:
    watch = Watch()
    return [Backend(endpoint(f"b{number}"), 1, watch) for number in range(count)]


def pool_spec(
    hosts: Sequence[str],
    policy: str = "first",
    *args: str,
    max_conns: int = 0,
    passive: PassiveSpec = NOTHING_REMEMBERED,
    queue: QueueSpec = QUEUE,
) -> PoolSpec:
    return PoolSpec(
        "site /",
        tuple(endpoint(host) for host in hosts),
        PolicySpec(policy, args),
        passive,
        max_conns=max_conns,
        queue=queue,
    )


def make_pool(spec: PoolSpec, seed: int = 1, previous: Pool | None = None) -> Pool:
    """Built and started."""
    pool = build_pool(spec, random.Random(seed), previous)
    pool.start()
    return pool


class Request:
    """A Choice written out by hand."""

    def __init__(self, peer: str = "192.0.2.1", target: bytes = b"/", **fields: str) -> None:
        self.peer = peer
        self.target = target
        self._fields = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}

    def field(self, name: bytes) -> bytes | None:
        return self._fields.get(name)
