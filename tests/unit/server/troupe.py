"""A process group that is played in one process: workers that are real `Worker`s on a real channel, but for their
process and their generations, which only count."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from posthouse.balance.orders import Orders
from posthouse.balance.pool import Pool
from posthouse.config.delta import Delta
from posthouse.config.specs import AddressSpec, Config, HookSpec, LimitsSpec, SiteSpec
from posthouse.observe.snapshot import Snapshot
from posthouse.server.beliefs import Known
from posthouse.server.channel import Channel
from posthouse.server.child import Child
from posthouse.server.control import Collected, Obeyed, Prepare, Reopened, ReopenLog, Welcome
from posthouse.server.origin import UNKNOWN, Origin
from posthouse.server.parts import Admin
from posthouse.server.service_manager import ServiceManager
from posthouse.server.sockets import ListenKey
from posthouse.server.told import Believed, Found, Noted
from posthouse.server.worker import Worker
from unit.server.fakes import EchoListener, Remembering, until


def config_for(*ports: int, limit: int | None = None, hooks: tuple[HookSpec, ...] = ()) -> Config:
    """A site per port, on 127.0.0.1."""
    limits = LimitsSpec(connections=limit)
    return Config(
        tuple(
            SiteSpec((AddressSpec("", "http", "", port, ""),), bind="127.0.0.1", limits=limits, hooks=hooks)
            for port in ports
        )
    )


@dataclass
class Loaded:
    config: Config
    sources: dict[str, str] = field(default_factory=dict)


class CountingGeneration:
    """A generation whose plans are its number; what was done to it is in `story`."""

    def __init__(self, number: int, config: Config, story: list[str]) -> None:
        self.number = number
        self.config = config
        self.story = story
        self.in_flight = 0
        self.outputs = 0
        self.pools: dict[str, Pool] = {}

    @property
    def listen(self) -> tuple[ListenKey, ...]:
        return tuple((site.bind, site.addresses[0].port) for site in self.config.sites)

    def handler(self, key: ListenKey) -> int:
        return self.number

    def start(self) -> None:
        self.story.append(f"start {self.number}")

    def obey(self, pools: Container[str]) -> None:
        self.story.append("obey")

    def retire(self, successor: Any = None) -> None:
        after = f" for {successor.number}" if successor else ""
        self.story.append(f"retire {self.number}{after}")


class StandInProcess:
    """What `asyncio.subprocess.Process` is to a child: it ends when it is told to."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.signals: list[int] = []

    async def wait(self) -> int:
        return await asyncio.shield(self.code)

    def send_signal(self, number: int) -> None:
        self.signals.append(number)
        self.end(-number)

    def end(self, code: int) -> None:
        if not self.code.done():
            self.code.set_result(code)


class NoRelief:
    """A runtime that has nothing to give."""

    def __init__(self) -> None:
        self.on_exhausted: Callable[[], None] = lambda: None

    def keep_warm(self, most: int) -> int:
        return 0

    def free(self) -> None: ...
    def give_back(self) -> None: ...


class Player:
    """One worker and its parts, played by the test: it says whether building works."""

    def __init__(self, cast_: Cast, welcome: Welcome, theirs: socket.socket) -> None:
        self.cast = cast_
        self.log = cast_.log
        self.loop = asyncio.get_running_loop()
        self.slot = welcome.slot
        self.generations: list[CountingGeneration] = []
        self.made: list[EchoListener] = []
        self.reopened = 0
        self.tidied: list[str] = []
        self.orders: list[Orders] = []
        self.told: list[Believed | Found] = []
        self.report: dict[str, object] = {}
        self.of_group: list[object] = []
        self.heard: list[object] = []
        self.is_deaf = False
        self.snapshot = Snapshot()
        self.answers: list[Collected] = []
        self.relief = NoRelief()
        self.process = StandInProcess(1000 + len(cast_.players))
        self.worker = Worker(welcome, self)
        self.channel = Channel(theirs, self.loop, self._hear, self.worker.orphaned)
        self.tell = self.channel.send
        self.running = self.loop.create_task(self._run())

    async def _run(self) -> None:
        code = await self.worker.run()
        await asyncio.sleep(0)
        self.end(code)

    def _hear(self, message: object, descriptors: list[int]) -> None:
        self.heard.append(message)
        if not isinstance(message, Welcome) and not self.is_deaf:
            self.worker.hear(message, descriptors)

    def end(self, code: int) -> None:
        """As a process that ends: all of it is gone at once."""
        self.channel.close()
        self.process.end(code)

    async def clear(self) -> None:
        """What the end of a process does by itself: close everything."""
        self.end(0)
        self.running.cancel()
        await self.worker._listeners.close()
        self.worker._listeners.abort()
        await until(lambda: not self.worker._listeners.connections())

    async def build(self, prepare: Prepare, config: Config, previous: Any) -> CountingGeneration:
        if self.cast.preparing is not None:
            await self.cast.preparing()
        if self.cast.building is not None:
            raise self.cast.building
        generation = CountingGeneration(prepare.number, config, self.cast.story)
        self.generations.append(generation)
        return generation

    def listener(self, plan: Any) -> EchoListener:
        self.made.append(EchoListener(plan))
        return self.made[-1]

    def reopen_logs(self, descriptors: Sequence[int]) -> None:
        self.reopened += 1

    def reopen_log(self, message: ReopenLog) -> None:
        self.tell(Reopened(message.path, message.turn, is_done=True))

    def hear_of_group(self, message: object, descriptors: list[int]) -> None:
        self.of_group.append(message)
        for one in descriptors:
            os.close(one)

    def status(self) -> Iterator[dict[str, object]]:
        return iter((self.report,))

    def obey(self, orders: Orders) -> None:
        self.orders.append(orders)
        self.tell(Obeyed())

    def learn(self, told: Believed | Found) -> None:
        self.told.append(told)
        self.tell(Noted())

    async def measure(self) -> Snapshot:
        return self.snapshot

    def collected(self, message: Collected) -> None:
        self.answers.append(message)

    def tidy_log(self, path: str) -> None:
        self.tidied.append(path)


class StandInScout:
    """Who asks backends and sources, in whose place the test does: what was asked of it is in the story."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.known: Known = {}
        self.found: dict[str, dict[str, Any]] = {}
        self.welcomed: list[int] = []
        self.preparing: Exception | None = None

    def welcome(self, child: Child) -> None:
        self.welcomed.append(child.slot)

    def expect(self, beliefs: Known) -> None:
        self.known = beliefs

    def beliefs(self) -> Known:
        return self.known

    async def ask(self, config: Config) -> None:
        self.story.append(f"ask for {len(config.sites)} sites")

    async def prepare(self, config: Config) -> None:
        if self.preparing is not None:
            raise self.preparing
        self.story.append(f"look at {len(config.sites)} sites")

    def commit(self) -> None:
        self.story.append("look out")

    def abandon(self) -> None:
        self.story.append("look away")

    def report(self) -> Mapping[str, Mapping[str, Any]]:
        return self.found

    def close(self) -> None:
        self.story.append("no more looks")


class Cast:
    """The parts of a supervisor, played by the test: it says what `load` finds and whether building works."""

    def __init__(self, log: Remembering) -> None:
        self.log = log
        self.story: list[str] = []
        self.players: list[Player] = []
        self.ready = ""
        self.reopened = 0
        self.next: Callable[[], Loaded | None] = lambda: None
        self.building: Exception | None = None
        self.checking: Exception | None = None
        self.checked: list[Delta] = []
        self.hooks = self
        self.admin: Admin | None = None
        self.commanded: list[HookSpec] = []
        self.looks: list[str] = []
        self.stand_in = StandInScout(self.looks)
        self.manager = ServiceManager({})
        self.origin: Origin = UNKNOWN
        self.env: Mapping[str, str] = {}
        self.preparing: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.startup: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.on_birth: Callable[[Player], None] = lambda player: None

    @property
    def generations(self) -> list[CountingGeneration]:
        return self.players[-1].generations

    @property
    def made(self) -> list[EchoListener]:
        return self.players[-1].made

    async def start_worker(self, slot: int, on_message: Callable[[Child, object], None]) -> Child:
        ours, theirs = socket.socketpair()
        welcome = replace(Welcome(slot, 1), grace=self.grace)
        player = Player(self, welcome, theirs)
        self.players.append(player)
        child = Child(slot, cast(Any, player.process), ours, on_message)
        child.send(welcome)
        self.on_birth(player)
        return child

    grace = 30.0

    async def start_up(self, hooks: Sequence[HookSpec]) -> None:
        self.commanded += hooks
        if self.startup is not None:
            await self.startup()

    async def shut_down(self, hooks: Sequence[HookSpec]) -> None:
        self.commanded += hooks

    def load(self) -> Loaded | None:
        return self.next()

    def check(self, config: Config, delta: Delta) -> Mapping[str, bytes]:
        self.checked.append(delta)
        if self.checking is not None:
            raise self.checking
        return {}

    def first_files(self, config: Config) -> Mapping[str, bytes]:
        return {}

    def import_the_rest(self) -> None:
        pass

    def scout(self, children: Callable[[], Iterable[Child]]) -> StandInScout:
        return self.stand_in

    def reopen_logs(self) -> Sequence[int]:
        self.reopened += 1
        return ()

    def announce(self, ready: str) -> None:
        self.ready = ready


SIGNALS = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2),
)
PID = os.getpid()
