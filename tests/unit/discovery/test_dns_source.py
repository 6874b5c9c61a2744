"""Sources that ask the DNS: the laws of sources, and what each question's answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from posthouse.discovery.belief import DOUBT_SECONDS
from posthouse.discovery.dns_source import AddressSource, DnsSource, SrvSource
from posthouse.discovery.ports import Members, Question, Report, ServiceRecord, Unanswered
from posthouse.testing import Hourglass, check_source
from unit.discovery.fakes import TTL, FakeServices, source_spec

SILENCE = Unanswered("A: no answer within 5 s")


class SrvWorld:
    def __init__(self, services: FakeServices) -> None:
        self._services = services

    def tell(self, backends: Sequence[int]) -> None:
        self._services.answers["SRV"] = [ServiceRecord(0, 1, f"h{number}.test", 80) for number in backends]

    def fail(self) -> None:
        self._services.answers["SRV"] = SILENCE


class AddressWorld:
    """Even numbers have an IPv4 address, odd ones an IPv6 address."""

    def __init__(self, services: FakeServices) -> None:
        self._services = services

    def tell(self, backends: Sequence[int]) -> None:
        self._services.answers["A"] = [f"127.0.0.{number + 1}" for number in backends if not number % 2]
        self._services.answers["AAAA"] = [f"::{number + 1}" for number in backends if number % 2]

    def fail(self) -> None:
        self._services.answers["A"] = self._services.answers["AAAA"] = SILENCE


def test_srv_keeps_the_laws_of_sources() -> None:
    def make(hourglass: Hourglass, report: Report) -> tuple[SrvSource, SrvWorld]:
        services = FakeServices(hourglass)
        return SrvSource(source_spec("srv://web.test"), services, report), SrvWorld(services)

    check_source(make)


def test_addresses_keep_the_laws_of_sources() -> None:
    def make(hourglass: Hourglass, report: Report) -> tuple[AddressSource, AddressWorld]:
        services = FakeServices(hourglass)
        return AddressSource(source_spec("dns://web.test:81"), services, report), AddressWorld(services)

    check_source(make)


class Listening:
    """A source that runs while the test turns the hourglass."""

    def __init__(self, source: type[DnsSource], text: str) -> None:
        self.hourglass = Hourglass()
        self.services = FakeServices(self.hourglass)
        self.reports: list[str] = []
        self.sets: list[Members] = []
        self.source = source(source_spec(text), self.services, self.reports.append)

    async def __aenter__(self) -> Listening:
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self.hourglass.settle()
        return self

    async def __aexit__(self, *why: object) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        async for members in self.source.sets():
            self.sets.append(members)

    def hosts(self) -> list[str]:
        return [member.host for member in self.sets[-1]] if self.sets else ["nothing yet"]


def test_the_name_is_asked_for_as_it_is_written() -> None:
    async def main() -> None:
        async with Listening(SrvSource, "srv://_http._tcp.Web.test.") as one:
            assert one.services.asked == [("_http._tcp.web.test.", "SRV")]
            assert repr(one.source) == "<SrvSource srv://_http._tcp.Web.test.>"

    asyncio.run(main())


@pytest.mark.parametrize("failing", ["A", "AAAA"])
def test_one_kind_that_fails_keeps_its_own_addresses(failing: Question) -> None:
    other: Question = "AAAA" if failing == "A" else "A"
    addresses: dict[Question, str] = {"A": "127.0.0.1", "AAAA": "::1"}

    async def main() -> None:
        async with Listening(AddressSource, "dns://web.test:81") as one:
            one.services.answers.update({kind: [address] for kind, address in addresses.items()})
            await one.hourglass.turn()
            assert one.hosts() == ["127.0.0.1", "::1"]
            one.services.answers[failing] = Unanswered(f"{failing}: SERVFAIL")
            one.services.answers[other] = [addresses[other], "::2" if other == "AAAA" else "127.0.0.2"]
            await one.hourglass.turn()
            assert len(one.hosts()) == 3, "of the one the last answer, of the other the new one"
            assert one.reports[-1] == f"{failing}: SERVFAIL"

    asyncio.run(main())


def test_a_kind_that_always_fails_does_not_hide_the_other() -> None:
    """Some name servers answer every AAAA with SERVFAIL."""

    async def main() -> None:
        async with Listening(AddressSource, "dns://web.test:81") as one:
            one.services.answers |= {"A": ["127.0.0.1"], "AAAA": SILENCE}
            await one.hourglass.turn()
            assert one.hosts() == ["127.0.0.1"]

    asyncio.run(main())


def test_one_kind_fails_and_the_other_has_none_that_is_nothing_known() -> None:
    async def main() -> None:
        async with Listening(AddressSource, "dns://web.test:81") as one:
            one.sets.clear()
            one.services.answers |= {"A": SILENCE}
        assert one.hosts() == ["nothing yet"]

    asyncio.run(main())


def test_a_kind_that_has_none_does_not_set_the_pace() -> None:
    async def main() -> None:
        async with Listening(AddressSource, "dns://web.test:81") as one:
            one.services.answers["A"] = ["127.0.0.1"]
            await one.hourglass.turn()
            began = one.hourglass.now
            await one.hourglass.turn()
            assert one.hourglass.now - began == pytest.approx(TTL * 1.05)

    asyncio.run(main())


def test_a_name_that_is_gone_is_doubted() -> None:
    async def main() -> None:
        async with Listening(SrvSource, "srv://web.test") as one:
            one.services.answers["SRV"] = [ServiceRecord(0, 0, "a.test", 80)]
            await one.hourglass.turn()
            gone = one.hourglass.now
            one.services.answers["SRV"] = []
            await one.hourglass.turn()
            assert one.hosts() == ["a.test"]
            assert one.reports[-1] == "SRV: there is none any more; believed after 30 s"
            while one.hosts():
                await one.hourglass.turn()
            assert DOUBT_SECONDS <= one.hourglass.now - gone < DOUBT_SECONDS * 2
            assert one.reports[-1] == "there is no such name, or it has no records"

    asyncio.run(main())
