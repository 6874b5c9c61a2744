"""What a policy is, what it is made for, and what it may ask of an exchange."""

from __future__ import annotations

import random
from collections.abc import Sequence
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
    fallbacks     those that are chosen from only while no other can be used. Never mixed with the others: what
                  `select` is given is all of one kind
    slow_start    seconds, 0 = off
    hash_balance  the most that a backend may hold, by the average, for policies that hash; 0 = off
    """

    backends: tuple[Backend, ...]
    rng: random.Random
    weights: tuple[int, ...] = ()
    fallbacks: frozenset[Backend] = field(default_factory=frozenset)
    slow_start: float = 0.0
    hash_balance: float = 0.0

    def __post_init__(self) -> None:
        if not self.weights:
            object.__setattr__(self, "weights", (1,) * len(self.backends))

    @property
    def is_weighted(self) -> bool:
        """Whether shares may differ, now or at some time."""
        return self.slow_start > 0 or len(set(self.weights)) > 1

    def tiers(self) -> list[list[tuple[Backend, int]]]:
        """Primaries and fallbacks apart, each with its weight."""
        tiers: list[list[tuple[Backend, int]]] = [[], []]
        for backend, weight in zip(self.backends, self.weights, strict=True):
            tiers[backend in self.fallbacks].append((backend, weight))
        return tiers


def setting_of(spec: PoolSpec, backends: Sequence[Backend], rng: random.Random) -> Setting:
    """What a policy for the pool that `spec` describes is made for."""
    pairs = list(zip(backends, spec.endpoints, strict=True))
    return Setting(
        tuple(backends),
        rng,
        tuple([endpoint.weight for endpoint in spec.endpoints]),
        frozenset(backend for backend, endpoint in pairs if endpoint.role == "fallback"),
        spec.slow_start,
        spec.hash_balance / 100,
    )


class Policy(Protocol):
    """Who is next. One object per pool; it keeps no belief about who is usable.

    usage      how it is written after `policy`, for messages: "round_robin", "header NAME", "ewma [DECAY]"
    arguments  how many arguments it takes, least and most

    Three attributes are looked for when a pool is built, and need not be there:
    tally      a `Tally` to be kept up to date, or None
    decay      seconds: the pool is to observe response times (`Backend.latency`) with it
    is_hash    true: it hashes, so `hash_balance` may be set
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
