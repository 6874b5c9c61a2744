"""The sources of a worker: begun once, followed by who serves, ended when nobody needs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from posthouse.adapt import adapt
from posthouse.discovery import sources as table
from posthouse.discovery.ports import Members, Unanswered
from posthouse.errors import ConfigError, StartError
from posthouse.server import discoverer as module
from posthouse.server.discoverer import name_servers
from posthouse.server.generation import build
from unit.server.fakes import Remembering, until
from unit.server.found import SILENCE, FoundRuntime, hosts, sources_of, srv, started

ONE = ":80 {\n proxy / srv://web.test\n}\n"


@pytest.fixture
def runtime(loop: asyncio.AbstractEventLoop, log: Remembering) -> Iterator[FoundRuntime]:
    made = FoundRuntime(loop, log)
    yield made
    made.close()
    loop.run_until_complete(asyncio.sleep(0))


def run(runtime: FoundRuntime, main: Callable[[], Awaitable[None]]) -> None:
    runtime.loop.run_until_complete(asyncio.wait_for(main(), 10))


def test_each_set_stands_where_its_to_stands(runtime: FoundRuntime) -> None:
    runtime.dns |= {"x.test": srv("x1", "x2"), "y.test": srv("y1")}
    text = ":80 {\n proxy / a srv://x.test b {\n upstream srv://y.test\n upstream c\n }\n}\n"

    async def main() -> None:
        assert hosts(await started(text, runtime)) == ["a", "x1", "x2", "b", "y1", "c"]
        assert len(runtime.discoverer) == 2
        assert repr(runtime.discoverer) == "<Discoverer of 2 sources>"

    run(runtime, main)


def test_a_name_that_is_not_answered_is_a_warning_with_its_place(
    runtime: FoundRuntime, log: Remembering
) -> None:
    runtime.dns["web.test"] = SILENCE

    async def main() -> None:
        generation = await started(ONE, runtime)
        assert hosts(generation) == []
        (line,) = log.of("discovery failed")
        assert (line["level"], line["place"], line["source"]) == ("WARN", "Caddyfile:2:10", "srv://web.test")
        assert (line["reason"], line["kept"]) == ("SRV: no answer within 5 s", 0)
        await runtime.turn()
        assert len(log.of("discovery failed")) == 1, "once, not each time"
        runtime.dns["web.test"] = srv("a")
        await runtime.turn()
        assert hosts(generation) == ["a"]
        assert len(log.of("discovery works again")) == 1

    run(runtime, main)


def test_what_is_known_of_a_source(runtime: FoundRuntime) -> None:
    (source,) = sources_of(ONE)
    now = 10.0
    runtime.discoverer.clock = lambda: now

    def heard() -> tuple[int, str, float | None]:
        found = runtime.discoverer.heard(source)
        return found.members, found.trouble, found.since

    runtime.dns["web.test"] = SILENCE

    async def main() -> None:
        nonlocal now
        assert heard() == (0, "", None)
        await started(ONE, runtime)
        assert heard() == (0, str(SILENCE), 10.0)
        now = 20.0
        runtime.dns["web.test"] = Unanswered("SRV: refused")
        await runtime.turn()
        assert heard() == (0, "SRV: refused", 10.0), "in trouble all the time"
        runtime.dns["web.test"] = srv("a", "b")
        await runtime.turn()
        assert heard() == (2, "", 20.0)
        now = 30.0
        runtime.dns["web.test"] = srv("a")
        await runtime.turn()
        assert heard() == (1, "", 20.0)
        runtime.dns["web.test"] = SILENCE
        await runtime.turn()
        assert heard() == (1, str(SILENCE), 30.0), "the last good answer is kept"

    run(runtime, main)


def test_a_start_waits_for_the_first_word_and_not_for_ever(
    runtime: FoundRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.02)
    runtime.dns["web.test"] = srv("a")

    async def main() -> None:
        runtime.delay = asyncio.Event()
        generation = await started(ONE, runtime)
        assert hosts(generation) == []
        runtime.delay.set()
        await until(lambda: hosts(generation) == ["a"])

    run(runtime, main)


def test_a_reload_disturbs_no_source_that_stays(runtime: FoundRuntime) -> None:
    runtime.dns |= {"web.test": srv("a"), "other.test": srv("b")}

    async def main() -> None:
        first = await started(ONE, runtime)
        before = first.pools[":80 /"]
        again = "# moved\n:80 {\n proxy / c:1 srv://web.test\n proxy /x srv://other.test\n}\n"
        second = await started(again, runtime, first)
        assert runtime.asked == ["web.test", "other.test"]
        assert hosts(second) == ["c", "a"]
        assert second.pools[":80 /"].backends[1] is before.backends[0]
        runtime.dns["web.test"] = srv("a", "d")
        await runtime.turn()
        assert hosts(second) == ["c", "a", "d"]
        assert [one.endpoint.host for one in before.backends] == ["a"], "what is retired stays as it was"
        await started(":80 {\n proxy / c:1\n}\n", runtime, second)
        assert len(runtime.discoverer) == 0
        asked = len(runtime.asked)
        runtime.wake()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(runtime.asked) == asked, "nobody asks any more"

    run(runtime, main)


def test_a_reload_that_fails_leaves_no_source_behind(runtime: FoundRuntime) -> None:
    runtime.dns |= {"web.test": srv("a"), "other.test": srv("b")}
    bad = ":80 {\n proxy / srv://other.test {\n policy roundrobin\n }\n}\n"

    async def main() -> None:
        first = await started(ONE, runtime)
        await runtime.discoverer.prepare(sources_of(bad))
        assert len(runtime.discoverer) == 2
        with pytest.raises(ConfigError):
            build(adapt(bad, "Caddyfile", env={}).config, runtime, first)
        assert len(runtime.discoverer) == 1
        runtime.dns["web.test"] = srv("c")
        await runtime.turn()
        assert hosts(first) == ["c"], "and the one that serves goes on"

    run(runtime, main)


def test_building_alone_asks_nobody(runtime: FoundRuntime) -> None:
    build(adapt(ONE, "Caddyfile", env={}).config, runtime, None).retire()
    assert (runtime.asked, len(runtime.discoverer)) == ([], 0)


def test_two_pools_may_have_the_same_source(runtime: FoundRuntime) -> None:
    runtime.dns["web.test"] = srv("a")

    async def main() -> None:
        text = ":80 {\n proxy / srv://web.test\n proxy /x b:1 srv://web.test\n}\n"
        generation = await started(text, runtime)
        assert runtime.asked == ["web.test"]
        runtime.dns["web.test"] = srv("a", "c")
        await runtime.turn()
        assert (hosts(generation, 0), hosts(generation, 1)) == (["a", "c"], ["b", "a", "c"])

    run(runtime, main)


class Buggy:
    """A source that breaks in a way that nobody foresaw."""

    made = 0

    def __init__(self, *_: Any) -> None:
        Buggy.made += 1

    async def sets(self) -> AsyncIterator[Members]:
        raise ZeroDivisionError("a bug")
        yield ()


def test_a_bug_in_a_source_is_told_and_it_is_begun_anew(
    runtime: FoundRuntime, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(table.SOURCES, "srv", Buggy)
    monkeypatch.setattr(Buggy, "made", 0)

    async def main() -> None:
        generation = await started(ONE, runtime)
        assert hosts(generation) == []
        assert "a bug" in str(log.of("discovery failed")[0]["reason"])
        runtime.wake()
        await until(lambda: Buggy.made == 2)

    run(runtime, main)


def test_name_servers_of_the_environment() -> None:
    assert name_servers("") == []
    assert name_servers("127.0.0.1:5353,::1") == [("127.0.0.1", 5353), ("::1", 53)]
    with pytest.raises(StartError, match=r"POSTHOUSE_RESOLVER is 'dns.test': `dns.test` is not the address"):
        name_servers("dns.test")
