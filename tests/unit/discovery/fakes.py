"""What sources are tested with: services of a worker in which only the test lets time pass, and a made-up DNS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from posthouse.config.specs import EndpointSpec, SourceKind, SourceSpec
from posthouse.directives.source_words import parse_source
from posthouse.discovery.ports import Answer, Question, Unanswered
from posthouse.endpoints import parse_endpoints
from posthouse.errors import NOWHERE, Place
from posthouse.testing import Hourglass

TTL = 7.0


def source_spec(text: str) -> SourceSpec:
    spec = parse_source(text, NOWHERE, 0)
    assert spec is not None
    return spec


class FakeServices:
    """The Services of a source. `answers` holds what the DNS says: records, or why it says nothing."""

    def __init__(self, hourglass: Hourglass) -> None:
        self.clock = hourglass.clock
        self.sleep = hourglass.sleep
        self.answers: dict[Question, Sequence[Any] | Unanswered] = {}
        self.asked: list[tuple[str, Question]] = []
        self.ttl = TTL

    def chance(self) -> float:
        return 0.5

    async def ask(self, name: str, question: Question) -> Answer:
        self.asked.append((name, question))
        answer = self.answers.get(question, ())
        if isinstance(answer, Unanswered):
            raise answer
        return Answer(tuple(sorted(answer)), self.ttl)

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        return work()

    def parse(self, text: str, place: Place) -> list[EndpointSpec]:
        return parse_endpoints(text, place)


KINDS: tuple[SourceKind, ...] = ("srv", "dns", "file")
