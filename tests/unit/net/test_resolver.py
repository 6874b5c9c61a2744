"""Resolver: asks once for a burst, keeps the last good answer, never blocks the loop."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import pytest

from posthouse.net import resolver as module
from posthouse.net.resolver import ANSWER_SECONDS, PATIENCE_SECONDS, Address, Resolver, literal_address
from unit.net.sockets import Names
from unit.protocol.rows import rows

LITERALS: dict[str, tuple[str, int | None]] = {
    "IPv4": ("127.0.0.1", socket.AF_INET),
    "IPv6": ("::1", socket.AF_INET6),
    "IPv6 with a zone": ("fe80::1%lo", socket.AF_INET6),
    "name": ("localhost", None),
    "numbers only": ("127.1", None),
    "nothing": ("", None),
    "brackets": ("[::1]", None),
    "leading zeros": ("127.0.0.01", None),
}


@pytest.mark.parametrize(("host", "family"), rows(LITERALS))
def test_literals(host: str, family: int | None) -> None:
    address = literal_address(host, 80)
    assert address == (None if family is None else Address(family, host, 80))


def asking(loop: asyncio.AbstractEventLoop, **hosts: list[str] | Exception) -> tuple[Resolver, Names]:
    names = Names(loop, {name.replace("_", "."): found for name, found in hosts.items()})
    return Resolver(cast(asyncio.AbstractEventLoop, names)), names


def v4(host: str, port: int = 80) -> Address:
    return Address(socket.AF_INET, host, port)


def test_literals_are_not_asked_about(loop: asyncio.AbstractEventLoop) -> None:
    resolver, names = asking(loop)
    assert loop.run_until_complete(resolver.resolve("127.0.0.1", 80)) == (v4("127.0.0.1"),)
    assert names.asked == []


def test_a_name_in_the_order_of_the_system(loop: asyncio.AbstractEventLoop) -> None:
    resolver, names = asking(loop, a_test=["::1", "127.0.0.2", "127.0.0.1"])
    found = loop.run_until_complete(resolver.resolve("a.test", 80))
    assert found == (Address(socket.AF_INET6, "::1", 80), v4("127.0.0.2"), v4("127.0.0.1"))
    assert names.asked == ["a.test"]


def test_no_host_is_this_machine(loop: asyncio.AbstractEventLoop) -> None:
    resolver, _ = asking(loop, localhost=["127.0.0.1"])
    assert loop.run_until_complete(resolver.resolve("", 80)) == (v4("127.0.0.1"),)


def test_an_answer_serves_for_a_moment(loop: asyncio.AbstractEventLoop) -> None:
    resolver, names = asking(loop, a_test=["127.0.0.1"])
    loop.run_until_complete(resolver.resolve("a.test", 80))
    names.names["a.test"] = ["127.0.0.2"]
    names.now = ANSWER_SECONDS * 0.99
    assert loop.run_until_complete(resolver.resolve("a.test", 80)) == (v4("127.0.0.1"),)
    names.now = ANSWER_SECONDS * 1.01
    assert loop.run_until_complete(resolver.resolve("a.test", 80)) == (v4("127.0.0.2"),)
    assert names.asked == ["a.test"] * 2


def test_ports_are_answered_apart(loop: asyncio.AbstractEventLoop) -> None:
    resolver, _ = asking(loop, a_test=["127.0.0.1"])
    for port in (80, 81):
        assert loop.run_until_complete(resolver.resolve("a.test", port)) == (v4("127.0.0.1", port),)


def test_a_burst_asks_once(loop: asyncio.AbstractEventLoop) -> None:
    resolver, names = asking(loop, a_test=["127.0.0.1"])

    async def burst() -> list[tuple[Address, ...]]:
        names.gate = asyncio.Event()
        dials = [asyncio.ensure_future(resolver.resolve("a.test", 80)) for _ in range(10)]
        await asyncio.sleep(0)
        names.gate.set()
        return await asyncio.gather(*dials)

    assert loop.run_until_complete(burst()) == [(v4("127.0.0.1"),)] * 10
    assert names.asked == ["a.test"]


@pytest.mark.parametrize("failure", [socket.gaierror(socket.EAI_AGAIN, "again"), [], OSError("no")], ids=repr)
def test_the_last_good_answer_is_kept(
    loop: asyncio.AbstractEventLoop, failure: list[str] | Exception
) -> None:
    """However old; and the system is asked again each time."""
    resolver, names = asking(loop, a_test=["127.0.0.1"])
    loop.run_until_complete(resolver.resolve("a.test", 80))
    names.names["a.test"] = failure
    for now in (10.0, 10_000.0):
        names.now = now
        assert loop.run_until_complete(resolver.resolve("a.test", 80)) == (v4("127.0.0.1"),)
    names.names["a.test"] = ["127.0.0.3"]
    assert loop.run_until_complete(resolver.resolve("a.test", 80)) == (v4("127.0.0.3"),)


@pytest.mark.parametrize("failure", [socket.gaierror(socket.EAI_NONAME, "unknown"), []], ids=repr)
def test_no_answer_and_none_before(loop: asyncio.AbstractEventLoop, failure: list[str] | Exception) -> None:
    resolver, names = asking(loop, a_test=failure)
    for _ in range(2):
        with pytest.raises(OSError):
            loop.run_until_complete(resolver.resolve("a.test", 80))
    names.names["a.test"] = ["127.0.0.1"]
    assert loop.run_until_complete(resolver.resolve("a.test", 80)) == (v4("127.0.0.1"),)


def test_one_that_gives_up_does_not_take_the_answer_from_the_others(loop: asyncio.AbstractEventLoop) -> None:
    resolver, names = asking(loop, a_test=["127.0.0.1"])

    async def two() -> tuple[Address, ...]:
        names.gate = asyncio.Event()
        impatient = asyncio.ensure_future(resolver.resolve("a.test", 80))
        patient = asyncio.ensure_future(resolver.resolve("a.test", 80))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        names.gate.set()
        return await patient

    assert loop.run_until_complete(two()) == (v4("127.0.0.1"),)


@pytest.mark.parametrize("found", [["127.0.0.1"], socket.gaierror(socket.EAI_AGAIN, "again")], ids=repr)
def test_an_answer_that_nobody_waits_for(
    loop: asyncio.AbstractEventLoop, found: list[str] | Exception
) -> None:
    """Good or bad, it is no unhandled exception; a good one is kept."""
    resolver, names = asking(loop, a_test=found)

    async def alone() -> None:
        names.gate = asyncio.Event()
        impatient = asyncio.ensure_future(resolver.resolve("a.test", 80))
        await asyncio.sleep(0)
        impatient.cancel()
        names.gate.set()
        await asyncio.sleep(0.01)

    loop.run_until_complete(alone())
    assert len(resolver._answers) == isinstance(found, list)
    assert resolver._asking == {}


def test_the_memo_is_bounded(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MEMO", 4)
    resolver, names = asking(loop)
    for i in range(20):
        names.names[f"{i}.test"] = ["127.0.0.1"]
        loop.run_until_complete(resolver.resolve(f"{i}.test", 80))
        assert len(resolver._answers) <= 4


def test_the_system_is_asked(loop: asyncio.AbstractEventLoop) -> None:
    """With the loop's own getaddrinfo."""
    found = loop.run_until_complete(Resolver(loop).resolve("localhost", 80))
    assert {address.host for address in found} <= {"127.0.0.1", "::1"} and found


async def ask_while_silent(resolver: Resolver, names: Names, now: float) -> tuple[Address, ...]:
    """What a dial gets when the system does not answer."""
    names.now = now
    names.gate = names.gate or asyncio.Event()
    return await asyncio.wait_for(resolver.resolve("a.test", 80), 5)


def test_a_silent_system_does_not_hold_up_who_knows(loop: asyncio.AbstractEventLoop) -> None:
    resolver, names = asking(loop, a_test=["127.0.0.1"])

    async def main() -> None:
        await resolver.resolve("a.test", 80)
        names.names["a.test"] = ["127.0.0.2"]
        began = loop.time()
        assert await ask_while_silent(resolver, names, 10.0) == (v4("127.0.0.1"),)
        assert loop.time() - began >= PATIENCE_SECONDS * 0.9, "an answer was given the time to come"
        for now in (10.0 + PATIENCE_SECONDS, 15.0, 1e6):
            assert await ask_while_silent(resolver, names, now) == (v4("127.0.0.1"),), "and then nobody waits"
        assert names.asked == ["a.test"] * 2, "one question is enough"
        assert names.gate is not None
        names.gate.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await resolver.resolve("a.test", 80) == (v4("127.0.0.2"),), "the late answer counts"

    loop.run_until_complete(main())


def test_who_knows_nothing_waits(loop: asyncio.AbstractEventLoop) -> None:
    resolver, names = asking(loop, a_test=["127.0.0.1"])

    async def main() -> None:
        names.gate = asyncio.Event()
        dial = asyncio.ensure_future(resolver.resolve("a.test", 80))
        await asyncio.wait((dial,), timeout=PATIENCE_SECONDS * 2)
        assert not dial.done()
        names.gate.set()
        assert await dial == (v4("127.0.0.1"),)

    loop.run_until_complete(main())
