"""A worker that is not alone: what it hears of the others, and what it tells."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from posthouse import __version__
from posthouse.balance.breaker import Phase
from posthouse.balance.pool import Pool, build_pool
from posthouse.config.specs import BreakerSpec, PassiveSpec, SourceSpec
from posthouse.errors import StartError
from posthouse.observe.process_log import ProcessLog
from posthouse.server import block
from posthouse.server.colleagues import Colleagues
from posthouse.server.cursors import CursorKeeper
from posthouse.server.news import Failed, Tripped, line_of
from posthouse.server.rows import Rows, keys_of, queue_keys
from posthouse.server.shares import Shares
from posthouse.server.sharing import Cursors, Given, Oldest, Shared, Wanted
from posthouse.server.wakes import make
from posthouse.testing.check_policy import SampleChoice
from unit.balance.samples import endpoint, pool_spec

BREAKS_OPEN = BreakerSpec(errors=50).open
BREAKS = PassiveSpec(fail_timeout=10.0, breaker=BreakerSpec(errors=50, minimum=1))


class Scene:
    """Worker 1 of two, played up to where its messages go."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        runtime = SimpleNamespace(loop=self.loop, clock=lambda: 5.0, log=ProcessLog("stderr"))
        self.told: list[object] = []
        self.serving = SimpleNamespace(oldest=3, newest=4, pools={})
        self.block = block.create(2, __version__)
        self.wakes = make(2)
        self.rows = Rows()
        self.cursors = CursorKeeper()
        self.colleagues = Colleagues(cast(Any, runtime), 1, cast(Any, self.serving), self.told.append)

    def descriptors(self) -> list[int]:
        return [os.dup(one) for one in (self.block.fd, *self.wakes.descriptors)]

    def give(self, *hosts: str) -> Given:
        new = self.rows.give(1, keys_of(pool_spec(hosts)))
        self.block.grow(self.rows.size)
        return Given(new, self.rows.size)

    def pool(self, hosts: Sequence[str], **facts: Any) -> Pool:
        return build_pool(pool_spec(hosts, max_conns=1, **facts), random.Random(1), None)

    def close(self) -> None:
        self.colleagues.close()
        self.cursors.close()
        self.block.close()
        self.wakes.close()
        self.loop.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


def join(scene: Scene, *hosts: str) -> Pool:
    """It has been told everything, and has a pool with these."""
    scene.colleagues.hear(Shared(), scene.descriptors())
    scene.colleagues.hear(scene.give(*hosts), [])
    pool = scene.pool(hosts, passive=BREAKS)
    scene.colleagues.share(pool)
    scene.colleagues.listen(pool)
    pool.start()
    scene.serving.pools = {pool.name: pool}
    return pool


def test_what_it_holds_is_seen(scene: Scene) -> None:
    pool = join(scene, "a", "b")
    pool.acquire(pool.backends[1])
    assert scene.block.row(scene.rows.all[pool.name, "http://b:80", 1]) == [0, 1]
    assert scene.told == []


def test_turns_are_taken_by_the_cursor_until_the_pool_is_gone(scene: Scene) -> None:
    join(scene, "a", "b")
    (made,) = scene.cursors.give([pool_spec("ab", "round_robin")]).values()
    scene.colleagues.hear(Cursors(("site /",)), [os.dup(made)])
    take = scene.colleagues.take_number("site /")
    assert take is not None and scene.colleagues.take_number("other") is None
    number = take()
    assert os.lseek(made, 0, os.SEEK_CUR) == number and take() == number + 1
    scene.colleagues.hear(Given({}, scene.rows.size, queue_keys("site /")), [])
    assert scene.colleagues.take_number("site /") is None
    assert take() == 1, "an exchange of a generation before may still ask"
    assert os.lseek(made, 0, os.SEEK_CUR) == number + 1


def test_before_it_is_told_of_a_block_it_is_alone(scene: Scene) -> None:
    pool = scene.pool("a")
    scene.colleagues.share(pool)
    scene.colleagues.listen(pool)
    pool.start()
    pool.fail(pool.backends[0], 1.0)
    scene.colleagues.on_generation_over()
    assert pool.claims is None and scene.told == []


def test_a_wake_asks_those_who_wait(scene: Scene) -> None:
    pool = join(scene, "a")
    asked: list[int] = []

    class Waiter:
        since = 1.0
        is_passed = False

        def __init__(self) -> None:
            self.pool = pool

        def take(self) -> bool:
            asked.append(1)
            return False

    pool.queue.join(Waiter())
    asked.clear()
    scene.wakes.wake(0)
    scene.wakes.wake(1)
    scene.loop.call_soon(scene.loop.stop)
    scene.loop.run_forever()
    scene.loop.call_soon(scene.loop.stop)
    scene.loop.run_forever()
    assert asked == [1]
    assert (scene.wakes.take(0), scene.wakes.take(1)) == (1, 0)


def test_what_was_found_is_asked_for_and_shared_when_it_has_rows(scene: Scene) -> None:
    join(scene, "a")
    found = scene.pool(["a", "x"])
    scene.colleagues.share(found)
    found.start()
    scene.serving.pools = {found.name: found}
    keys = (*queue_keys(found.name), (found.name, "http://a:80", 1), (found.name, "http://x:80", 1))
    assert scene.told == [Wanted(4, keys)] and found.claims is None
    found.acquire(found.backends[1])
    scene.colleagues.hear(scene.give("a", "x"), [])
    assert found.claims is not None
    assert scene.block.row(scene.rows.all[found.name, "http://x:80", 1]) == [0, 1], "what it holds already"


def test_what_was_found_is_named_again_so_that_it_keeps_its_rows(scene: Scene) -> None:
    join(scene, "a")
    source = SourceSpec("dns", "dns://x", "x", endpoint("x"))
    pool = scene.pool("a")
    pool.spec = replace(pool.spec, sources=(source,))
    scene.colleagues.share(pool)
    assert pool.claims is not None and [type(one) for one in scene.told] == [Wanted]


def test_failures_and_breakers_are_told_and_heard(scene: Scene) -> None:
    pool = join(scene, "a", "b")
    first, second = pool.backends
    pool.fail(first, 5.0, "refused")
    assert [type(one) for one in scene.told] == [Failed, Tripped]
    scene.colleagues.hear(Failed(pool.name, second.key, 12.0, "reset"), [])
    assert second.failures(5.0) == 1
    assert len(scene.told) == 2, "no echo"


def test_what_another_has_seen_is_known_before_the_next_choice(scene: Scene) -> None:
    pool = join(scene, "a", "b")
    scene.colleagues.hear(Given(dict(scene.rows.all), scene.rows.size), [])
    other = Shares(scene.block, scene.wakes, 0)
    other.know(scene.rows.all, scene.rows.size)
    first, second = pool.backends
    told = Failed(pool.name, first.key, 12.0, "reset")
    other.write(pool.name, first.key, *line_of(told))
    other.write(pool.name, second.key, *line_of(Tripped(pool.name, second.key, Phase.OPEN, "", 4.0, 9.0)))
    assert pool.claims is not None
    assert pool.claims.claim(SampleChoice(1), 5.0) is None
    assert (first.failures(5.0), first.fault, second.comeback.phase) == (
        1,
        "another worker saw it",
        Phase.OPEN,
    )
    scene.colleagues.hear(told, [])
    scene.colleagues.hear(Tripped(pool.name, second.key, Phase.OPEN, "5 of 5", 4.0, 9.0), [])
    breaker = second.comeback.breaker
    assert breaker is not None and breaker.reason == "5 of 5"
    assert (first.failures(5.0), first.fault) == (1, "reset"), (
        "the message says why, and counts no second time"
    )


def test_what_it_sees_is_written_down_for_the_others(scene: Scene) -> None:
    pool = join(scene, "a")
    scene.colleagues.hear(Given(dict(scene.rows.all), scene.rows.size), [])
    other = Shares(scene.block, scene.wakes, 0)
    other.know(scene.rows.all, scene.rows.size)
    read: list[object] = []
    other.on_news = lambda key, line: read.append((key, line.kind, line.until))
    pool.fail(pool.backends[0], 5.0, "refused")
    other.catch_up()
    other.catch_up()
    key = (pool.name, "http://a:80", 1)
    assert read == [(key, 0, 15.0), (key, 1, 5.0 + BREAKS_OPEN)]


def test_what_is_told_before_anything_serves_holds_from_its_first_request_on(scene: Scene) -> None:
    pool = join(scene, "a", "b")
    pools, scene.serving.pools, scene.serving.newest = scene.serving.pools, {}, 0
    scene.colleagues.hear(Failed(pool.name, pool.backends[1].key, 12.0, "reset"), [])
    scene.serving.pools, scene.serving.newest = pools, 1
    assert pool.backends[1].failures(5.0) == 0
    for _ in range(2):
        scene.colleagues.begin()
        assert (pool.backends[1].failures(5.0), pool.backends[1].fault) == (1, "reset")


def test_the_end_of_a_generation_is_told(scene: Scene) -> None:
    join(scene, "a")
    scene.colleagues.on_generation_over()
    assert scene.told == [Oldest(3)]


def test_a_block_of_another_version_is_not_touched(scene: Scene) -> None:
    other = block.create(2, "0.0.1")
    with pytest.raises(StartError, match=r"is of Posthouse 0\.0\.1"):
        scene.colleagues.hear(Shared(), [other.fd, *scene.descriptors()[1:]])
    other.close()
