"""Ordering: the orders of whoever runs us (`balance/orders.py`), held by the supervisor and obeyed by all workers.

They live as long as this process, and go to the one that takes its place: a worker is told of them before it builds
anything, and a reload drops those for what it takes away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from posthouse.balance.orders import UNDOES, Kind, Order, Orders, names_of
from posthouse.config.address_specs import HEAVIEST
from posthouse.config.specs import Config, PoolSpec
from posthouse.observe.process_log import ProcessLog
from posthouse.server.control import Obey, Obeyed
from posthouse.server.names import MOST_CANDIDATES, Unclear, find, site_of, without_scheme
from posthouse.server.order_rows import Row, from_rows, to_rows

OBEY_SECONDS: Final = 2.0
"""A worker that takes longer obeys as soon as its loop turns; the answer says so."""
WEIGHT: Final = "weight"
DEFAULT: Final = "default"
"""The word for the configuration's weight."""
ACTS: Final = (*Kind, *UNDOES, WEIGHT)

Report = dict[str, object]


class Worker(Protocol):
    """What is asked of `server.child.Child`."""

    def send(self, message: object) -> None: ...
    def expect(self, answer: type[Obeyed], /) -> asyncio.Future[Obeyed]: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for. weight: with the act `weight`, a number or `default`."""

    act: str
    pool: str
    backend: str
    weight: str = ""


class Refusal(Exception):
    """Why nothing was ordered, one line."""


class Ordering:
    """children  the workers that run now
    refusal   why nothing can be ordered here now, one line; "": it can
    """

    def __init__(
        self,
        children: Callable[[], Iterable[Worker]],
        log: ProcessLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.orders = Orders()
        self.refusal = ""
        self._children = children
        self._log = log
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Ordering {len(list(self.orders.all()))} orders>"

    def welcome(self, worker: Worker) -> None:
        """It has been started, and was told nothing else yet."""
        if self.orders.by_pool:
            self._tell(worker)

    def rows(self) -> list[Row]:
        """All, for another process."""
        return to_rows(self.orders)

    def inherit(self, rows: Iterable[object]) -> None:
        """Exactly these were ordered of another process, whose place we take."""
        self._use(from_rows(rows, self._clock()))

    def keep(self, config: Config, cause: str = "reload") -> None:
        """That is served from now on: what it has not is not ordered about any more."""
        before = self.orders
        self._use(before.kept(route.pool for site in config.sites for route in site.routes))
        for pool, backend, order in before.all():
            left = self.orders.of(pool, backend)
            if left != order:
                dropped = order.kind if left.is_nothing and order.kind else WEIGHT
                self._log.info(
                    f"order dropped by the {cause}", pool=pool, upstream=backend, order=str(dropped)
                )

    async def give(
        self, wish: Wish, config: Config, found: Callable[[str], Awaitable[Sequence[str]]]
    ) -> Report:
        """Have it obeyed; what was ordered (docs/admin.md), or with `error` why nothing was.

        found  the names of all backends of a pool whose members are found while we run
        """
        try:
            spec = _pool(wish.pool, config)
            names = await found(spec.name) if spec.sources else names_of(spec.endpoints)
            backend = find("backend", wish.backend, names, without_scheme)
            before = self.orders.of(spec.name, backend)
            order = self._changed(before, wish, _weight_in_file(spec, backend))
        except Unclear as error:
            candidates = list(error.candidates[:MOST_CANDIDATES])
            return {"error": str(error), "hint": error.hint or None, "candidates": candidates}
        except Refusal as error:
            return {"error": str(error), "hint": None, "candidates": []}
        self._log.info("backend ordered", pool=spec.name, upstream=backend, order=_words(wish))
        waiting = self._use(self.orders.given(spec.name, backend, order)) if order != before else []
        late = (await asyncio.wait(waiting, timeout=OBEY_SECONDS))[1] if waiting else ()
        return {
            "pool": spec.name,
            "backend": backend,
            **described(order),
            "changed": order != before,
            "unconfirmed": len(late),
        }

    def _changed(self, before: Order, wish: Wish, in_file: int | None) -> Order:
        if self.refusal:
            raise Refusal(self.refusal)
        act = wish.act
        if act == WEIGHT:
            weight = None if wish.weight == DEFAULT else _weight(wish.weight)
            return replace(before, weight=weight, in_place_of=None if weight is None else in_file)
        if act in UNDOES:
            if before.kind not in (None, UNDOES[act]):
                raise Refusal(f"it is {before.kind.state} by order, which `{before.kind.undone_by}` undoes")
            return replace(before, kind=None, since=None)
        if act not in ACTS:
            raise Refusal(f"there is no order {act!r}; there are {', '.join(ACTS)}")
        if before.kind == act:
            return before
        return replace(before, kind=Kind(act), since=self._clock())

    def _use(self, orders: Orders) -> list[asyncio.Future[Obeyed]]:
        """These are the orders from now on; what is done when each worker obeys."""
        if orders == self.orders:
            return []
        self.orders = orders
        return [self._tell(one) for one in self._children()]

    def _tell(self, worker: Worker) -> asyncio.Future[Obeyed]:
        # Also where nobody waits: the answers come in the order of the messages, so each has to be expected.
        obeyed = worker.expect(Obeyed)
        worker.send(Obey(self.orders))
        return obeyed


def described(order: Order) -> Mapping[str, object]:
    """What JSON says of an order, besides since when."""
    return {"order": None if order.kind is None else str(order.kind), "weight": order.weight}


def _pool(word: str, config: Config) -> PoolSpec:
    specs = {route.pool.name: route.pool for site in config.sites for route in site.routes}
    return specs[find("pool", word, list(specs), site_of)]


def _weight_in_file(spec: PoolSpec, backend: str) -> int | None:
    of = {
        name: endpoint.weight for name, endpoint in zip(names_of(spec.endpoints), spec.endpoints, strict=True)
    }
    return of.get(backend)


def _weight(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(HEAVIEST))
    if not is_number or not 1 <= int(text) <= HEAVIEST:
        raise Refusal(f"expected a weight from 1 to {HEAVIEST}, or {DEFAULT}, found {text!r}")
    return int(text)


def _words(wish: Wish) -> str:
    return f"{wish.act} {wish.weight}".strip()
