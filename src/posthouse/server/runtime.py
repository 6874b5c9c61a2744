"""Runtime: what all generations of one worker share; it is the Services of their exchanges."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Hashable
from typing import Any, cast

from posthouse.balance.backend import Backend, warm_key
from posthouse.config.specs import EndpointSpec, UpstreamTimeouts
from posthouse.net.connector import Connector, Dialled, is_quiet
from posthouse.net.idle import IdleConnections
from posthouse.net.listener import Listener
from posthouse.net.reactor import Reactor
from posthouse.net.tls import ClientTLS, Identities
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.observe.process_log import ProcessLog
from posthouse.probe.probes import Probes
from posthouse.protocol.h1 import Codec
from posthouse.proxy.compression import Encoders
from posthouse.server.logs import Logs
from posthouse.server.password_checks import PasswordChecks


class Runtime:
    """The event loop with what outlives a generation: warm connections, probes, log files, the codec's memos."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, log: ProcessLog, *, is_case_sensitive: bool = False
    ) -> None:
        self.loop = loop
        self.log = log
        self.reactor = Reactor(loop, Codec(is_case_sensitive))
        self.timers = self.reactor.timers
        self.clock: Callable[[], float] = time.monotonic
        self.rng = random.Random()
        self.chance: Callable[[], float] = self.rng.random
        self.call_later = loop.call_later
        self.secret = secrets.token_bytes(32)
        self.password_checks = PasswordChecks(loop)
        self.idle = IdleConnections()
        self.identities = Identities()
        self.encoders = Encoders()
        self._connector = Connector(self.reactor, self.idle)
        self.logs = Logs(loop, log)
        self.probes = Probes(self)

    def acquire(self, backend: Backend, *, is_careful: bool) -> UpstreamH1 | None:
        """A warm connection to a backend; is_careful: look first whether its peer has closed it."""
        tls = backend.tls
        key = backend if tls is None else warm_key(backend, tls)
        connection = self.idle.acquire(key)
        while connection is not None and is_careful and not is_quiet(connection):
            connection.close()
            connection = self.idle.acquire(key)
        return connection

    def dial(
        self, backend: Backend, timeouts: UpstreamTimeouts, on_done: Callable[[Dialled], None]
    ) -> asyncio.Task[None]:
        """A new connection to a backend."""
        tls = backend.tls
        return self._connector.dial(
            warm_key(backend, tls), backend.endpoint, timeouts, on_done, cast(ClientTLS | None, tls)
        )

    def dial_for_probe(
        self,
        endpoint: EndpointSpec,
        timeouts: UpstreamTimeouts,
        on_done: Callable[[Dialled], None],
        tls: Hashable | None = None,
    ) -> asyncio.Task[None]:
        """A connection for one health check: it never becomes a warm one, so its key is nobody's."""
        return self._connector.dial(self.probes, endpoint, timeouts, on_done, cast(ClientTLS | None, tls))

    def listener(self, plan: Any) -> Listener:
        """A listening address."""
        return Listener(self.reactor, plan)

    def reopen_logs(self) -> None:
        """Open the files of all logs again, by name."""
        self.log.reopen()
        self.logs.reopen()

    def close(self) -> None:
        """The end: no more probes, what is buffered is written, idle connections are closed."""
        self.probes.stop()
        self.idle.close_all()
        self.password_checks.close()
        self.logs.close()
        self.log.flush()
