"""Orders: what whoever runs us has said of backends, until it is taken back. They win over what we find out ourselves.

Laws:
1. A backend with a standing order (`Kind`) gets nothing new, but where it only drains and its health checks don't say
   that it is down: what goes on with a session that it has.
2. The last standing order counts, and ends only by the word that undoes it: `undrain`, `enable`.
3. An order of weight counts in place of the configuration's weight, as long as that is what it was when it was given.

Orders are values: whoever changes them makes new ones, so that they can be sent to another process.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from posthouse.balance.active_health import State
from posthouse.balance.identity import keys_of, name_of
from posthouse.config.specs import EndpointSpec, PoolSpec

BY_ORDER: Final = "by order"
"""The reason that people are shown."""


class Kind(enum.StrEnum):
    """The standing orders, by the word that gives them."""

    DRAIN = "drain"
    DISABLE = "disable"

    @property
    def state(self) -> str:
        """What a backend is that obeys it."""
        return "draining" if self is Kind.DRAIN else "disabled"

    @property
    def undone_by(self) -> str:
        """The word that takes it back."""
        return "undrain" if self is Kind.DRAIN else "enable"


UNDOES: Final[Mapping[str, Kind]] = {kind.undone_by: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Order:
    """What was ordered of one backend.

    kind       None: it may be used
    since      when that was ordered, monotonic seconds
    weight     None: the configuration's
    in_place_of  the configuration's weight when that was ordered; None: it was found while we ran, whatever it had
    """

    kind: Kind | None = None
    since: float | None = None
    weight: int | None = None
    in_place_of: int | None = None

    @property
    def is_nothing(self) -> bool:
        return self.kind is None and self.weight is None

    def weight_of(self, endpoint: EndpointSpec) -> int:
        """What the endpoint weighs, by order (law 3) or by the configuration."""
        if self.weight is None or self.in_place_of not in (None, endpoint.weight):
            return endpoint.weight
        return self.weight


NO_ORDER: Final = Order()


def may_finish(kind: Kind | None, state: State) -> bool:
    """Whether a backend only goes on with the sessions that it has; state: what its health checks say."""
    return (state is State.DRAINING) if kind is None else (kind is Kind.DRAIN and state is not State.DOWN)


def names_of(endpoints: Iterable[EndpointSpec]) -> list[str]:
    """The name of the backend of each endpoint (`Backend.name`)."""
    return [name_of(key) for key in keys_of(endpoints)]


@dataclass(frozen=True, slots=True)
class Orders:
    """All orders of one group, by the names of pool and backend."""

    by_pool: Mapping[str, Mapping[str, Order]] = field(default_factory=dict)

    def of(self, pool: str, backend: str) -> Order:
        """What was ordered of that backend."""
        return self.by_pool.get(pool, {}).get(backend, NO_ORDER)

    def all(self) -> Iterator[tuple[str, str, Order]]:
        """Pool, backend, order."""
        for pool, orders in self.by_pool.items():
            for backend, order in orders.items():
                yield pool, backend, order

    def given(self, pool: str, backend: str, order: Order) -> Orders:
        """With that order for that backend, and no other for it."""
        of_pool = {name: one for name, one in self.by_pool.get(pool, {}).items() if name != backend}
        if not order.is_nothing:
            of_pool[backend] = order
        by_pool = {name: one for name, one in self.by_pool.items() if name != pool}
        return Orders({**by_pool, pool: of_pool} if of_pool else by_pool)

    def weighed(self, spec: PoolSpec) -> PoolSpec:
        """The pool with the weights that were ordered. O(1) where nothing was ordered of it."""
        orders = self.by_pool.get(spec.name)
        if orders is None:
            return spec
        endpoints = []
        for name, endpoint in zip(names_of(spec.endpoints), spec.endpoints, strict=True):
            weight = orders.get(name, NO_ORDER).weight_of(endpoint)
            endpoints.append(endpoint if weight == endpoint.weight else replace(endpoint, weight=weight))
        return replace(spec, endpoints=tuple(endpoints))

    def kept(self, pools: Iterable[PoolSpec]) -> Orders:
        """What is left with these pools: the orders for backends that are there, or may be found while we run."""
        kept = Orders()
        for spec in pools:
            orders = self.by_pool.get(spec.name)
            if orders is None:
                continue
            there = dict(zip(names_of(spec.endpoints), spec.endpoints, strict=True))
            for name, order in orders.items():
                endpoint = there.get(name)
                if endpoint is None and not spec.sources:
                    continue
                if endpoint is not None and order.in_place_of not in (None, endpoint.weight):
                    order = replace(order, weight=None, in_place_of=None)
                kept = kept.given(spec.name, name, order)
        return kept
