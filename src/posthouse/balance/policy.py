"""What a policy is, what it is made for, and what it may ask of an exchange."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from posthouse.balance.backend import Backend
from posthouse.config.specs import PoolSpec


class Choice(Protocol):
    """What a policy may ask of the exchange it chooses for. Cheap, or computed when asked."""

    @property
    def peer(self) -> str:
        """The IP text of the peer, without a port."""

    @property
    def client_ip(self) -> str:
        """The IP text of the client as seen through trusted proxies; the peer's if that is none."""

    @property
    def is_secure(self) -> bool:
        """Whether the client came over https, to us or to a trusted proxy."""

    @property
    def wall(self) -> float:
        """Seconds since 1970."""

    @property
    def target(self) -> bytes:
        """The raw request target as received, with its query."""

    def field(self, name: bytes) -> bytes | None:
        """The value of the request field of that lower-case name (b"host" too), None if absent."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy is made for.

    backends      all of the pool, in the order of the file, usable or not
    rng           its only source of chance
    weights       as many as `backends`; those of the configuration that the pool is built for, which come into force
                  later (`Backend.weight`, `Backend.share`)
    tier_of       which tier each backend is of, empty where there is only one. Those of a tier are chosen from only
                  while none of a lower one can be used. Never mixed: what `select` is given is all of one tier
    slow_start    seconds, 0 = off
    hash_balance  the most that a backend may hold, by the average, for policies that hash; 0 = off
    begin         where in their round policies begin that go round, from 0 to below 1 (`turns.begins_at`)
    take_number   where several workers take turns together: the next whole number, which no other choice gets
    """

    backends: tuple[Backend, ...]
    rng: random.Random
    weights: tuple[int, ...] = ()
    tier_of: Mapping[Backend, int] = field(default_factory=dict)
    slow_start: float = 0.0
    hash_balance: float = 0.0
    begin: float = 0.0
    take_number: Callable[[], int] | None = None

    def __post_init__(self) -> None:
        if not self.weights:
            object.__setattr__(self, "weights", (1,) * len(self.backends))

    @property
    def is_weighted(self) -> bool:
        """Whether shares may differ, now or at some time."""
        return self.slow_start > 0 or len(set(self.weights)) > 1

    def tiers(self) -> list[list[tuple[Backend, int]]]:
        """The backends of each tier, each with its weight; at least one tier."""
        tiers: list[list[tuple[Backend, int]]] = [
            [] for _ in range(1 + max(self.tier_of.values(), default=0))
        ]
        for backend, weight in zip(self.backends, self.weights, strict=True):
            tiers[self.tier_of.get(backend, 0)].append((backend, weight))
        return tiers


def setting_of(
    spec: PoolSpec,
    backends: Sequence[Backend],
    rng: random.Random,
    begin: float = 0.0,
    take_number: Callable[[], int] | None = None,
) -> Setting:
    """What a policy for the pool that `spec` describes is made for."""
    return Setting(
        tuple(backends),
        rng,
        tuple([endpoint.weight for endpoint in spec.endpoints]),
        tiers_of(spec, backends),
        spec.slow_start,
        spec.hash_balance / 100,
        begin,
        take_number,
    )


def tiers_of(spec: PoolSpec, backends: Sequence[Backend]) -> dict[Backend, int]:
    """The tier of each backend: first by role, then by priority (RFC 2782); empty where all are of one."""
    ranks = [(endpoint.role == "fallback", endpoint.priority) for endpoint in spec.endpoints]
    numbers = {rank: number for number, rank in enumerate(sorted(set(ranks)))}
    if len(numbers) < 2:
        return {}
    return {backend: numbers[rank] for backend, rank in zip(backends, ranks, strict=True)}


class Policy(Protocol):
    """Who is next. One object per pool; it keeps no belief about who is usable.

    usage      how it is written after `policy`, for messages: "round_robin", "header NAME", "ewma [DECAY]"
    arguments  how many arguments it takes, least and most

    Four attributes are looked for when a pool is built, and need not be there:
    tally      a `Tally` to be kept up to date, or None
    decay      seconds: the pool is to observe response times (`Backend.latency`) with it
    is_hash    true: it hashes, so `hash_balance` may be set
    uses_load  true: it goes by what backends hold, so other workers are asked for theirs
    """

    usage: ClassVar[str]
    arguments: ClassVar[tuple[int, int]]

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        """`args` are as many as `arguments` allows. Raises ValueError with what is wrong with one of them."""

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        """One of `usable`, which is never empty, is in the order of the file and holds no member of `tried`.

        tried  those left out of `usable`, although `is_usable`, because this exchange tried them more often.
               Only a policy that looks beyond `usable` (a table over all backends) has to ask for it.
        now    monotonic seconds
        """
