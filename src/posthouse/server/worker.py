"""Worker: one event loop with its listeners and the generation that serves now. It does what the supervisor says.

Laws
- A new configuration is built completely before anything of the old one changes, in slices beside requests, and served
  only when all workers have built it.
- What stays listening is never closed; what goes is emptied, then drained.
- Every exchange ends on the generation it began with. Stopping waits for all, at most `grace` seconds.
- Without a supervisor there is nobody who could reload, stop or replace it: it drains and ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.balance.pool import Pool
from posthouse.config.delta import Delta, Kept, apply_delta
from posthouse.config.specs import Config, SiteSpec
from posthouse.errors import ConfigError, StartError
from posthouse.observe.snapshot import Snapshot, cut
from posthouse.server import bugs, memory
from posthouse.server.accepting import Admission
from posthouse.server.control import (
    MOST_SAMPLES,
    Abandon,
    Abort,
    Ahead,
    AskStatus,
    Collected,
    Commit,
    Empty,
    Ended,
    Measure,
    Measured,
    Obey,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Refused,
    ReopenLog,
    ReopenLogs,
    Serving,
    Sockets,
    StatusReport,
    Stop,
    Stopping,
    TidyLog,
    Welcome,
)
from posthouse.server.descriptors import check_room
from posthouse.server.listeners import Listeners, Served
from posthouse.server.parts import Built, WorkerParts
from posthouse.server.pressure import Pressure, Shortage
from posthouse.server.reload_count import ReloadCount
from posthouse.server.sharing import GROUP_MESSAGES
from posthouse.server.sockets import ListenKey
from posthouse.server.tasks import Tasks
from posthouse.server.tcp_settings import DEFAULT, tcp_settings
from posthouse.server.told import Believed, Found

DRAIN_LOOK_SECONDS = 0.02
"""How often a draining worker looks whether the last exchange is over."""

STOPPED, STOPPED_TWICE = 0, 2
"""Exit codes: stopped as asked; stopped at once."""


class Worker:
    """Serves from `run` until stopped; `hear` is called with each message of the supervisor, `orphaned` when that is
    gone. Both return at once."""

    def __init__(self, welcome: Welcome, parts: WorkerParts) -> None:
        self._welcome = welcome
        self._parts = parts
        self._log = parts.log
        self._loop = parts.loop
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._admission = Admission(welcome.limits.descriptors, self._loop, self._log)
        self._listeners = Listeners(parts.listener, self._admission, self._loop)
        self._pressure = Pressure(welcome.limits, self._admission, self._listeners, parts, self._in_flight)
        self._generation: Built | None = None
        self._config = Config(())
        self._ahead: list[Kept | SiteSpec] = []
        self._prepared: _Prepared | None = None
        self._fresh: dict[ListenKey, socket.socket] = {}
        self._retired: list[Built] = []
        self._tasks = Tasks()
        self._reporting = asyncio.Lock()
        self._is_stopping = False
        self.began = time.monotonic()
        self.reloads: ReloadCount | None = None  # the supervisor's affair
        self._acts: dict[type, Callable[[Any, list[int]], None]] = {
            Ahead: lambda message, _: self._ahead.extend(message.parts),
            Prepare: self._begin,
            Sockets: self._take,
            Commit: lambda message, _: self._tasks.spawn(self._commit(message)),
            Abandon: self._abandon,
            Empty: self._empty,
            ReopenLogs: lambda message, descriptors: parts.reopen_logs(descriptors),
            ReopenLog: lambda message, _: parts.reopen_log(message),
            TidyLog: lambda message, _: parts.tidy_log(message.path),
            Obey: lambda message, _: parts.obey(message.orders),
            **dict.fromkeys((Believed, Found), lambda message, _: parts.learn(message)),
            Stop: lambda message, _: self._stop(),
            Abort: lambda message, _: self._end(STOPPED_TWICE, self._in_flight()),
            Ping: lambda message, _: parts.tell(Pong(self._in_flight())),
            AskStatus: lambda message, _: self._tasks.spawn(self._report()),
            Measure: lambda message, _: self._tasks.spawn(self._measure(message)),
            Collected: lambda message, _: parts.collected(message),
            **dict.fromkeys(GROUP_MESSAGES, parts.hear_of_group),
        }

    def __repr__(self) -> str:
        return f"<Worker {self._welcome.slot} pid={os.getpid()} {self._generation!r} retired={len(self._retired)}>"

    async def run(self) -> int:
        """Serve until stopped; the exit code."""
        self._loop.set_exception_handler(bugs.teller(self._log, self._admission.rest))
        memory.keep_freed()
        return await self._exit

    def hear(self, message: object, descriptors: list[int]) -> None:
        """Do what the supervisor says."""
        self._acts[type(message)](message, descriptors)

    def orphaned(self, why: str) -> None:
        """The supervisor is gone."""
        if not self._is_stopping:
            self._log.warn("supervisor gone, draining", reason=why or "its channel ended")
            self._stop()

    # --- what server/status.py and server/measuring.py ask

    @property
    def serving(self) -> Any:
        """The generation that takes new requests."""
        return self._generation

    # --- and server/colleagues.py

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Those of the generation that takes new requests."""
        return self._generation.pools if self._generation is not None else {}

    @property
    def newest(self) -> int:
        """The number of the generation that takes new requests; 0 = none does."""
        return self._generation.number if self._generation is not None else 0

    @property
    def oldest(self) -> int:
        """The number of the oldest generation that is at work; 0 = none is."""
        at_work = [one.number for one in self._retired if one.in_flight]
        if self._generation is not None:
            at_work.append(self._generation.number)
        return min(at_work, default=0)

    @property
    def retiring(self) -> int:
        """Former generations on which exchanges still run."""
        return sum(one.in_flight > 0 for one in self._retired)

    @property
    def exchanges_retiring(self) -> int:
        """Exchanges that run on those."""
        return sum(one.in_flight for one in self._retired)

    @property
    def exchanges(self) -> int:
        """Exchanges that run, on all generations."""
        return self._in_flight()

    @property
    def connections(self) -> int:
        """Connections of clients that are open."""
        return self._listeners.connections()

    @property
    def connections_limit(self) -> int:
        """Connections of clients at most."""
        return self._admission.limit

    @property
    def shortages(self) -> Mapping[str, Shortage]:
        """What it may be short of."""
        return self._pressure.shortages

    @property
    def is_ready(self) -> bool:
        """Whether it serves: neither starting nor draining."""
        return self._generation is not None and not self._is_stopping

    async def _measure(self, message: Measure) -> None:
        last: Snapshot | None = None
        for piece in cut(await self._parts.measure(), MOST_SAMPLES):
            if last is not None:
                self._parts.tell(Measured(message.round, last, is_last=False))
                await asyncio.sleep(0)  # requests are not to wait for it
            last = piece
        assert last is not None
        self._parts.tell(Measured(message.round, last, is_last=True))

    async def _report(self) -> None:
        async with self._reporting:  # the pieces of two answers are not to mix
            last: dict[str, object] | None = None
            for piece in self._parts.status():
                if last is not None:
                    self._parts.tell(StatusReport(last, is_last=False))
                    await asyncio.sleep(0)  # requests are not to wait for it
                last = piece
            assert last is not None
            self._parts.tell(StatusReport(last))

    # --- change

    def _begin(self, prepare: Prepare, descriptors: list[int]) -> None:
        ahead, self._ahead = self._ahead, []
        wanted = prepare.wanted
        if isinstance(wanted, Delta):
            wanted = Delta((*ahead, *wanted.parts), wanted.notices)
        self._tasks.spawn(self._prepare(prepare, wanted))

    async def _prepare(self, prepare: Prepare, wanted: Config | Delta) -> None:
        try:
            config = apply_delta(self._config, wanted) if isinstance(wanted, Delta) else wanted
            built = await self._parts.build(prepare, config, self._generation)
            self._prepared = _Prepared(config, built, len(wanted.built) if isinstance(wanted, Delta) else 0)
            if self._is_stopping:
                self._drop()
                return
            if self._generation is None:
                self._pressure.check()
            self._check_room(built.listen)
        except ConfigError as error:
            self._parts.tell(Refused(prepare.number, error.mistakes))
        except Exception as error:  # whatever it is, it must not take down what serves
            self._drop()
            reason = str(error) if isinstance(error, StartError) else repr(error)
            self._parts.tell(Refused(prepare.number, reason=reason))
        else:
            self._parts.tell(Prepared(prepare.number))

    def _abandon(self, message: Abandon, descriptors: list[int]) -> None:
        self._drop()
        for listening in self._fresh.values():
            listening.close()
        self._fresh.clear()

    def _check_room(self, listen: Sequence[ListenKey]) -> None:
        """For the sockets that will come with a `Commit`, which cannot fail: without a descriptor for them it would be
        the end of us. Raises StartError."""
        served = self._generation.listen if self._generation is not None else ()
        try:
            check_room(2 * len(set(listen) - set(served)))
        except OSError as error:
            raise StartError(f"no room for the new listening addresses: {error.strerror}") from None

    def _drop(self) -> None:
        if self._prepared is not None:
            prepared, self._prepared = self._prepared, None
            prepared.built.retire()

    def _take(self, message: Sockets, descriptors: list[int]) -> None:
        self._fresh |= _sockets(message.keys, descriptors)

    async def _commit(self, message: Commit) -> None:
        """From here on nothing can fail: what was built takes the place of what serves now."""
        assert self._prepared is not None
        prepared, self._prepared = self._prepared, None
        config, built = prepared.config, prepared.built
        self._config = config
        fresh, self._fresh = self._fresh, {}
        self._pressure.fit(len(built.listen), built.outputs)
        old, self._generation = self._generation, built
        built.start()
        limits, tcp = connection_limits(config), tcp_settings(config)
        served = {
            key: Served(built.handler(key), limits.get(key, 0), tcp.get(key, DEFAULT)) for key in built.listen
        }
        await self._listeners.swap(served, fresh)
        if old is not None:
            old.retire(built)
            self._retired = [one for one in self._retired if one.in_flight] + [old]
        self._parts.tell(Serving(message.number))
        if old is not None:
            memory.settle_new(prepared.changed)
            return
        memory.settle()
        if not self._is_stopping:
            self._pressure.start()

    def _empty(self, message: Empty, descriptors: list[int]) -> None:
        for key, listening in _sockets(message.keys, descriptors).items():
            self._tasks.spawn(self._listeners.adopt(key, listening))

    # --- stop

    def _stop(self) -> None:
        self._parts.tell(Stopping(self._in_flight()))
        if not self._is_stopping:
            self._is_stopping = True
            self._pressure.stop()
            self._tasks.spawn(self._drain())

    async def _drain(self) -> None:
        cut = 0
        try:
            deadline = self._loop.time() + self._welcome.grace
            await self._listeners.close()
            # Looking costs nothing now and spares every connection the duty to tell that it has ended.
            while self._listeners.connections() and self._loop.time() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(DRAIN_LOOK_SECONDS)
            # An exchange that is over may still have its last bytes in a write buffer: that is cut as well.
            cut = max(self._in_flight(), self._listeners.abort())
            await asyncio.sleep(0)  # the connections learn of it, so that their exchanges are logged
            await asyncio.sleep(0)
        finally:
            self._end(STOPPED, cut)

    def _in_flight(self) -> int:
        serving = [self._generation] if self._generation is not None else []
        return sum(one.in_flight for one in [*self._retired, *serving])

    def _end(self, code: int, cut: int) -> None:
        self._is_stopping = True
        if not self._exit.done():
            self._parts.tell(Ended(cut))
            self._exit.set_result(code)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a `Commit` is going to serve; changed: sites that were built anew."""

    config: Config
    built: Built
    changed: int


def _sockets(keys: Sequence[ListenKey], descriptors: Sequence[int]) -> dict[ListenKey, socket.socket]:
    made = {}
    for key, descriptor in zip(keys, descriptors, strict=True):
        made[key] = socket.socket(fileno=descriptor)
        made[key].setblocking(False)
    return made


def connection_limits(config: Config) -> Mapping[ListenKey, int]:
    """`limits connections` by address: as with v1's limits, the smallest of the sites that share one."""
    limits: dict[ListenKey, int] = {}
    for site in config.sites:
        for address in site.addresses:
            key = (site.bind, address.port)
            if site.limits.connections is not None:
                limits[key] = min(site.limits.connections, limits.get(key, site.limits.connections))
    return limits
