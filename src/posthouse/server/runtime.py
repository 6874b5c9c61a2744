"""Runtime: what all generations of one worker share; it is the Services of their exchanges."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import secrets
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, cast

from posthouse.balance.backend import Backend
from posthouse.balance.lanes import warm_key
from posthouse.balance.orders import Orders
from posthouse.balance.pool import Pool
from posthouse.config.specs import EndpointSpec, PoolSpec, SourceSpec, UpstreamTimeouts
from posthouse.discovery.lookup import Server
from posthouse.net.connector import Connector, Dialled, Opening, is_quiet
from posthouse.net.idle import IdleConnections
from posthouse.net.listener import Listener
from posthouse.net.reactor import Reactor
from posthouse.net.tls import ClientTLS, Identities
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.observe.metrics import Metrics
from posthouse.observe.process_log import ProcessLog
from posthouse.probe.check import Check
from posthouse.probe.probes import Probes
from posthouse.protocol.h1 import Codec
from posthouse.proxy.compression import Encoders
from posthouse.server import memory, session_key
from posthouse.server.colleagues import Colleagues
from posthouse.server.discoverer import Discoverer
from posthouse.server.key_files import KeyFiles
from posthouse.server.logs import Logs
from posthouse.server.measuring import Measuring
from posthouse.server.openings import Client, opening_for
from posthouse.server.password_checks import PasswordChecks
from posthouse.server.told import Told, ToldSources
from posthouse.server.turns import Turns


class Runtime:
    """The event loop with what outlives a generation: warm connections, probes, log files, the codec's memos.

    secret  what all workers have in common
    worker  the number of this one, of so many
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: ProcessLog,
        *,
        is_case_sensitive: bool = False,
        name_servers: Sequence[Server] = (),
        is_told: bool = False,
    ) -> None:
        """name_servers: who is asked about `srv://` and `dns://`; none = those of the system.

        is_told  somebody else asks backends and sources, and `told` hears what is found
        """
        self.loop = loop
        self.log = log
        self.reactor = Reactor(loop, Codec(is_case_sensitive))
        self.timers = self.reactor.timers
        self.clock: Callable[[], float] = time.monotonic
        self.rng = random.Random()
        self.chance: Callable[[], float] = self.rng.random
        self.call_later = Turns(loop).call_later
        self.sources = 0
        self.secret = secrets.token_bytes(32)
        self.worker, self.workers = 0, 1
        self.password_checks = PasswordChecks(loop)
        self.idle = IdleConnections()
        self._leaving: dict[Hashable, Backend] = {}
        self.files = KeyFiles()
        self.identities = Identities(lambda path: self.files.open(path))
        self.encoders = Encoders()
        self._connector = Connector(self.reactor, self.idle)
        self.logs = Logs(loop, log)
        self.on_belief: Callable[[Check], None] = lambda check: None
        self.probes = Probes(self)
        self.discoverer = Discoverer(self, name_servers)
        self.told = Told() if is_told else None
        self.metrics: Metrics | None = None
        self.measuring = Measuring(self)
        self._session_key = b""
        self.colleagues: Colleagues | None = None
        self.orders = Orders()

    def cursor(self, pool: str) -> Callable[[], int] | None:
        """See `Colleagues.take_number`."""
        return None if self.colleagues is None else self.colleagues.take_number(pool)

    def believed(self, check: Check) -> None:
        """See `probe.ports.Services`."""
        self.on_belief(check)

    def change_checks(self, gone: Iterable[Backend], came: Iterable[Check]) -> None:
        """See `Probes.change`; nothing where somebody else asks, who has the same configuration."""
        if self.told is None:
            self.probes.change(gone, came)

    def follow(self, followers: Mapping[Callable[[SourceSpec], None], Iterable[SourceSpec]]) -> None:
        """Those who are told of changes from now on, in the place of those before."""
        self._members.follow(followers)

    def drop_unfollowed(self) -> None:
        """A configuration will not serve: its sources are nobody's."""
        self._members.drop_unfollowed()

    def recall(self, pool: Pool) -> None:
        """This pool serves from now on: what we were told of its backends holds."""
        if self.told is not None:
            self.told.checks.recall(pool)

    @property
    def _members(self) -> Discoverer | ToldSources:
        return self.discoverer if self.told is None else self.told.sources

    @property
    def full_clients(self) -> int:
        """Clients that read more slowly than they are written to."""
        return self.reactor.full_clients

    def acquire(
        self, backend: Backend, *, is_careful: bool, client: Client | None = None
    ) -> UpstreamH1 | None:
        """A warm connection to a backend; is_careful: look first whether its peer has closed it.

        client  take only one of its own
        """
        idle = self.idle if client is None else client.own
        if idle is None:
            return None
        tls = backend.tls
        key = backend if tls is None else warm_key(backend, tls)
        connection = idle.acquire(key)
        while connection is not None and is_careful and not is_quiet(connection):
            connection.close()
            connection = idle.acquire(key)
        return connection

    def dial(
        self, backend: Backend, pool: PoolSpec, client: Client, on_done: Callable[[Dialled], None]
    ) -> asyncio.Task[None]:
        """A new connection to a backend, for this client."""
        key = warm_key(backend, backend.tls)
        opening = opening_for(backend, pool, client)
        return self._connector.dial(key, backend.endpoint, pool.timeouts, on_done, opening)

    def dial_for_probe(
        self,
        endpoint: EndpointSpec,
        timeouts: UpstreamTimeouts,
        on_done: Callable[[Dialled], None],
        tls: Hashable | None = None,
        preface: bytes = b"",
    ) -> asyncio.Task[None]:
        """A connection for one health check: it never becomes a warm one, so its key is nobody's.

        preface  what it begins with
        """
        opening = Opening(cast(ClientTLS | None, tls), preface)
        return self._connector.dial(self.probes, endpoint, timeouts, on_done, opening)

    def leave(self, before: Iterable[Pool], after: Iterable[Pool]) -> None:
        """Pools take the place of others. Warm connections that they will not use are closed: at once, or when the
        exchanges are over that still run at their backends."""
        kept = {lane for pool in after for lane in pool.lanes()}
        for lane, backend in list(self._leaving.items()):
            if lane in kept or not backend.held:
                self.idle.forget_left(lane)
                del self._leaving[lane]
        for pool in before:
            for lane, backend in zip(pool.lanes(), pool.backends, strict=True):
                if lane in kept:
                    continue
                self.idle.close(lane)
                if backend.held:
                    self.idle.leave(lane)
                    self._leaving[lane] = backend

    def wanted(self, spec: PoolSpec) -> PoolSpec:
        """The pool with the members that sources have found, and the weights that were ordered."""
        return self.orders.weighed(self._members.expand(spec))

    @property
    def accepted(self) -> int:
        """Connections of clients so far."""
        return self.reactor.accepted

    @property
    def on_exhausted(self) -> Callable[[], None]:
        """See `server.pressure.Relief`."""
        return self._connector.on_exhausted

    @on_exhausted.setter
    def on_exhausted(self, tell: Callable[[], None]) -> None:
        self._connector.on_exhausted = tell

    def keep_warm(self, most: int) -> int:
        """Keep so many idle connections to backends, those that were used last; how many were closed."""
        return self.idle.trim(most)

    def free(self) -> None:
        """Give up what can be had again, warm connections, and what is free."""
        self.idle.close_all()
        memory.give_back()

    def give_back(self) -> None:
        """Give back memory that is free within the process."""
        memory.give_back()

    def listener(self, plan: Any) -> Listener:
        """A listening address."""
        return Listener(self.reactor, plan)

    def session_key(self) -> bytes:
        """The key of sticky sessions that have no `secret=`: of the data directory, the same for as long as we run."""
        if not self._session_key:
            path = session_key.path_of_own(os.environ, is_root=os.geteuid() == 0)
            try:
                given = self.files.given.get(str(path))
                self._session_key = given or session_key.own_key(path)
                self.files.note(str(path), self._session_key)
            except OSError as error:
                # All workers have the same secret, and so the same key.
                self._session_key = hashlib.sha256(b"sessions" + self.secret).digest()
                reason = error.strerror or str(error)
                self.log.warn("session key not kept: sticky sessions end with us", path=path, reason=reason)
        return self._session_key

    def reopen_logs(self) -> None:
        """Open the files of all logs again, by name."""
        self.log.reopen()
        self.logs.reopen()

    def close(self) -> None:
        """The end: no more probes, what is buffered is written, idle connections are closed."""
        self.discoverer.stop()
        self.probes.stop()
        self.idle.close_all()
        self.password_checks.close()
        self.logs.close()
        self.log.flush()
