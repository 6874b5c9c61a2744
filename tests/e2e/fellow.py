"""One worker of a group, without a proxy: `python fellow.py WORKER PORT BLOCK EVENTFD… < commands`.

Its only pool has one backend: whoever holds it asks 127.0.0.1:PORT and gives it back with the answer. Commands, one a
line, each answered with a line of JSON:

    rounds N   how often `ask` does it
    ask N      N exchanges at once, so often
    hold       take a place and keep it
    drop       give one back
    wait       one exchange that waits for its turn, and keeps its place then
    hammer N   take and give back N times, as fast as can be
    end
"""

from __future__ import annotations

import asyncio
import json
import random
import selectors
import sys
import time
from typing import Any

from posthouse import __version__
from posthouse.balance.backend import Backend
from posthouse.balance.health import NEVER
from posthouse.balance.pool import Pool, build_pool
from posthouse.config.queue_spec import QueueSpec
from posthouse.config.specs import EndpointSpec, PoolSpec
from posthouse.errors import FailureKind
from posthouse.server import block
from posthouse.server.rows import Rows, keys_of
from posthouse.server.shares import Shares
from posthouse.server.wakes import Wakes
from posthouse.testing.check_policy import SampleChoice

MOST = 10


def spec_for(port: int) -> PoolSpec:
    """The pool of all of them."""
    endpoint = EndpointSpec(f"http://127.0.0.1:{port}", "http", "127.0.0.1", port)
    return PoolSpec("group", (endpoint,), max_conns=MOST, queue=QueueSpec(1000, None))


class Counting(selectors.EpollSelector):
    """Counts how often the loop looked."""

    looks = 0

    def select(self, timeout: float | None = None) -> Any:
        self.looks += 1
        return super().select(timeout)


class Exchange:
    """Waits for its turn."""

    is_passed = False

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.since = 0.0
        self.turn: asyncio.Future[Backend] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None

    def choose(self) -> bool:
        assert self.pool.claims is not None
        now = time.monotonic()
        backend = self.pool.claims.claim(SampleChoice(1), now, (), self.since or NEVER)
        if backend is None:
            assert self.pool.why_not(now) is FailureKind.FULL
            self.arm(now)
            return False
        self.pool.acquire(backend)
        self.turn.set_result(backend)
        if self.timer is not None:
            self.timer.cancel()
        return True

    def take(self) -> bool:
        return self.choose()

    def arm(self, now: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.since and self.pool.changes_at < NEVER:
            pause = max(self.pool.changes_at - now, 0.001)
            self.timer = asyncio.get_running_loop().call_later(pause, self.pool.queue.wake)

    async def hold(self) -> Backend:
        if not self.choose():
            assert self.pool.can_queue()
            self.since = time.monotonic()
            self.pool.queue.join(self)
        return await self.turn


class Fellow:
    """See above."""

    def __init__(self, worker: int, port: int, fds: list[int], selector: Counting) -> None:
        self.port = port
        self.selector = selector
        self.rounds = 1
        self.wakes = 0
        self.held: list[Backend] = []
        self.shares = Shares(block.attach(fds[0], __version__), Wakes(fds[1:]), worker)
        spec = spec_for(port)
        rows = Rows()
        self.shares.know(rows.give(1, keys_of(spec)), rows.size)
        self.row = rows.all[spec.name, spec.endpoints[0].text, 1]
        self.pool = build_pool(spec, random.Random(worker), None)
        group = self.shares.group(spec.name, [backend.key for backend in self.pool.backends])
        assert group is not None
        self.pool.share(group)
        self.pool.start()
        self.wake_fd = fds[1 + worker]

    def on_wake(self) -> None:
        self.wakes += 1
        self.shares.on_wake()

    async def ask(self, backend: Backend) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await reader.read()
        writer.close()
        self.pool.release(backend)

    async def client(self) -> float:
        longest = 0.0
        for _ in range(self.rounds):
            began = time.monotonic()
            backend = await Exchange(self.pool).hold()
            longest = max(longest, time.monotonic() - began)
            await self.ask(backend)
        return longest

    def take_and_look(self) -> int:
        """How many places of the group were held while this one was, if there was one."""
        assert self.pool.claims is not None
        backend = self.pool.claims.claim(SampleChoice(1), time.monotonic())
        if backend is None:
            return 0
        self.pool.acquire(backend)
        held = sum(self.shares.block.row(self.row))
        self.pool.release(backend)
        return held

    async def do(self, command: str, argument: int) -> dict[str, object]:
        if command == "rounds":
            self.rounds = argument
        elif command == "ask":
            waits = await asyncio.gather(*(self.client() for _ in range(argument)))
            return {"done": argument * self.rounds, "longest": max(waits), "wakes": self.wakes}
        elif command == "hold":
            self.held.append(await Exchange(self.pool).hold())
        elif command == "drop":
            self.pool.release(self.held.pop())
        elif command == "hammer":
            return {"most": max(self.take_and_look() for _ in range(argument))}
        elif command == "wait":
            waiting = Exchange(self.pool)
            task = asyncio.ensure_future(waiting.hold())
            await asyncio.sleep(0)
            print(json.dumps({"waits": len(self.pool.queue)}), flush=True)
            looks = self.selector.looks
            self.held.append(await task)
            return {"looks": self.selector.looks - looks, "wakes": self.wakes}
        return {}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self.wake_fd, self.on_wake)
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := (await lines.readline()).decode().split():
            if line[0] == "end":
                return
            answer = await self.do(line[0], int(line[1]) if len(line) > 1 else 0)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    number, port, *fds = map(int, sys.argv[1:])
    selector = Counting()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(Fellow(number, port, fds, selector).run())
