"""What a source is, and what it needs of its worker, as small protocols. `server/discoverer.py` lends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from posthouse.config.specs import EndpointSpec
from posthouse.errors import Place

Members = tuple[EndpointSpec, ...]
"""A whole set of backends, in an order that does not depend on the order in which they were told."""

Question = Literal["SRV", "A", "AAAA"]


@dataclass(frozen=True, slots=True, order=True)
class ServiceRecord:
    """One SRV record (RFC 2782).

    target   host name, lower case, without the last dot
    address  the target's only address, if the answer brought it along; else ""
    """

    priority: int
    weight: int
    target: str
    port: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS says of a name: its records, none for a name that does not exist or has none of that kind.

    records  ServiceRecords, or addresses as text; sorted
    ttl      seconds for which that is true
    """

    records: tuple[Any, ...]
    ttl: float


class Unanswered(Exception):
    """The DNS did not say whether there is something: a failure, silence, nonsense. The text is one short phrase."""


class Source(Protocol):
    """Finds backends. Its laws are those of `posthouse.testing.check_source`.

    It is made with a SourceSpec, Services, and whom to tell about trouble (`Report`).
    """

    def sets(self) -> AsyncIterator[Members]:
        """Whole sets: the first as soon as it is known, then one for each change; never ends by itself.

        While it cannot be told what exists there is no further set, and so the last one stays.
        """


Report = Callable[[str], None]
"""Told why there is no news, a short phrase; "" when all is well (again). May be told the same again."""


class Services(Protocol):
    """What a worker lends to its sources."""

    def clock(self) -> float:
        """Monotonic seconds."""

    def chance(self) -> float:
        """Uniform in [0, 1)."""

    async def sleep(self, seconds: float) -> None: ...
    async def ask(self, name: str, question: Question) -> Answer:
        """Ask the DNS. Raises Unanswered, within seconds."""

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        """What `work` returns or raises; it may block."""

    def parse(self, text: str, place: Place) -> list[EndpointSpec]:
        """The endpoints of a TO. Raises ValueError."""
