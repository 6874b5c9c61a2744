"""Sources that ask the DNS again and again: SRV records, and the addresses of a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from posthouse.config.specs import SourceSpec
from posthouse.discovery import members
from posthouse.discovery.belief import DOUBT_SECONDS, Belief
from posthouse.discovery.ports import Members, Question, Report, Services, Unanswered


class DnsSource(ABC):
    """What SrvSource and AddressSource have in common: one belief for each question, asked when it is due."""

    questions: tuple[Question, ...]

    def __init__(self, spec: SourceSpec, services: Services, report: Report) -> None:
        self._spec = spec
        self._services = services
        self._report = report
        self._beliefs: dict[Question, Belief] = {question: Belief() for question in self.questions}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._spec.text}>"

    @abstractmethod
    def _members(self, records: list[object]) -> Members:
        """What became of the answers."""

    async def sets(self) -> AsyncIterator[Members]:
        """See `ports.Source`."""
        last: Members | None = None
        while True:
            pause, trouble = await self._look()
            found = self._believed()
            self._report(trouble or ("" if found else "there is no such name, or it has no records"))
            if found is not None and found != last:
                last = found
                yield found
            await self._services.sleep(pause)

    async def _look(self) -> tuple[float, str]:
        """Ask every question; seconds until the first is due again, and what is wrong."""
        services = self._services
        pauses, troubles = [], []
        for question, belief in self._beliefs.items():
            ttl = 0.0
            try:
                answer = await services.ask(self._spec.name, question)
            except Unanswered as why:
                belief.fail()
                troubles.append(str(why))
            else:
                ttl = answer.ttl
                belief.learn(answer.records, services.clock())
                if belief.is_doubting:
                    troubles.append(f"{question}: there is none any more; believed after {DOUBT_SECONDS:g} s")
            if answer_matters(belief, self._beliefs):
                pauses.append(belief.pause(ttl, services.chance()))
        return min(pauses), "; ".join(troubles)

    def _believed(self) -> Members | None:
        """None while nothing is known, or what is known is only that one of two kinds has none."""
        known = [belief.records for belief in self._beliefs.values()]
        records = [record for some in known if some is not None for record in some]
        if not records and None in known:
            return None
        return self._members(records)


def answer_matters(belief: Belief, beliefs: dict[Question, Belief]) -> bool:
    """Whether its pause counts: an empty answer beside a good one (a name without AAAA) need not be asked often."""
    others = [one for one in beliefs.values() if one is not belief]
    return bool(belief.records) or belief.failures > 0 or not any(one.records for one in others)


class SrvSource(DnsSource):
    """`srv://NAME`: a member for each record, with weight and priority."""

    questions = ("SRV",)

    def _members(self, records: list[object]) -> Members:
        return members.of_records(self._spec.member, records)  # type: ignore[arg-type]


class AddressSource(DnsSource):
    """`dns://NAME:PORT`: a member for each IPv4 and IPv6 address."""

    questions = ("A", "AAAA")

    def _members(self, records: list[object]) -> Members:
        return members.of_addresses(self._spec.member, records)  # type: ignore[arg-type]
