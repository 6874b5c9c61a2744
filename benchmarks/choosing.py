"""CPU of choosing a backend: `python -m benchmarks.choosing [POLICY]`.

For each policy and size of pool the best of several rounds, in µs, of one choice with acquire and release, half of the
backends holding an exchange or two. A second table has what changes cost: every choice fills its backend and the next
one frees it, as `max_conns` does in a busy pool. Noise only ever adds.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable

from posthouse.balance.pool import Pool, build_pool
from posthouse.config.specs import EndpointSpec, PolicySpec, PoolSpec
from posthouse.testing.check_policy import SampleChoice

SIZES = (3, 10, 32, 100, 1_000, 10_000)
POLICIES: dict[str, tuple[str, ...]] = {
    "random": (),
    "round_robin": (),
    "least_conn": (),
    "first": (),
    "ip_hash": (),
    "uri_hash": (),
    "random_choose": (),
    "ewma": (),
    "sticky": (),
}
WEIGHTED = ("random", "round_robin", "least_conn", "uri_hash", "random_choose", "ewma")
BALANCED = ("uri_hash",)
COUNT, ROUNDS = 3_000, 5


def make(policy: PolicySpec, size: int, *, is_weighted: bool, hash_balance: int, max_conns: int) -> Pool:
    """A started pool, half of whose backends hold something."""
    endpoints = tuple(
        EndpointSpec(
            f"http://10.{i >> 8}.{i & 255}.1:80", "http", "b", 80, weight=1 + i % 7 if is_weighted else 1
        )
        for i in range(size)
    )
    spec = PoolSpec("bench", endpoints, policy, max_conns=max_conns, hash_balance=hash_balance)
    pool = build_pool(spec, random.Random(1), None)
    pool.start()
    if pool.sessions is not None:
        pool.sessions.use_key(b"k" * 32)
    if not max_conns:
        for place, backend in enumerate(pool.backends):
            backend.latency.observe(0.001 * (1 + place % 5), 0.0, 10.0)
            for _ in range(place % 3):
                pool.acquire(backend)
    return pool


def best(turn: Callable[[int], None]) -> float:
    """µs of one turn, in the best round."""
    least = float("inf")
    gc.collect()
    gc.freeze()
    for _ in range(ROUNDS):
        began = time.process_time()
        for number in range(COUNT):
            turn(number)
        least = min(least, (time.process_time() - began) / COUNT * 1e6)
    return least


def calm(pool: Pool) -> float:
    """A choice while nothing else changes."""
    choices = [SampleChoice(number) for number in range(COUNT)]

    def turn(number: int) -> None:
        backend = pool.select(choices[number], number * 0.001)
        assert backend is not None
        pool.acquire(backend)
        pool.release(backend)

    return best(turn)


def busy(pool: Pool) -> float:
    """A choice that fills its backend; the next one frees another."""
    choices = [SampleChoice(number) for number in range(COUNT)]
    held = []
    for number in range(len(pool.backends) // 2):
        backend = pool.select(choices[number % COUNT], 0.0)
        assert backend is not None
        pool.acquire(backend)
        held.append(backend)
    chance = random.Random(1)

    def turn(number: int) -> None:
        backend = pool.select(choices[number], 0.0)
        assert backend is not None
        pool.acquire(backend)
        place = int(chance.random() * len(held))
        pool.release(held[place])
        held[place] = backend

    return best(turn)


def table(title: str, names: list[str], cost: Callable[[str, int], float]) -> None:
    """Print one row for each name."""
    if not names:
        return
    print(f"\n{title}\n| policy | " + " | ".join(f"{size:,}" for size in SIZES) + " |")
    print("|---|" + "---|" * len(SIZES))
    for name in names:
        print(f"| `{name}` | " + " | ".join(f"{cost(name, size):.1f}" for size in SIZES) + " |", flush=True)


def main() -> None:
    """All tables, or the rows of one policy."""

    def chosen(names: tuple[str, ...]) -> list[str]:
        return [name for name in names if len(sys.argv) < 2 or sys.argv[1] == name]

    def cost(name: str, size: int, measure: Callable[[Pool], float] = calm, **options: int) -> float:
        return measure(
            make(
                PolicySpec(name, POLICIES[name]),
                size,
                is_weighted=bool(options.get("weighted")),
                hash_balance=options.get("balance", 0),
                max_conns=options.get("max_conns", 0),
            )
        )

    table("calm", chosen(tuple(POLICIES)), cost)
    table("weights 1 to 7", chosen(WEIGHTED), lambda name, size: cost(name, size, weighted=1))
    table("hash_balance 125%", chosen(BALANCED), lambda name, size: cost(name, size, balance=125))
    table("max_conns 1, half of it full", chosen(tuple(POLICIES)), lambda n, s: cost(n, s, busy, max_conns=1))


if __name__ == "__main__":
    main()
