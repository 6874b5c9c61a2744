"""Connector: dials an endpoint. The first await of a request's life, on the cold path only."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import ssl
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from posthouse.config.specs import EndpointSpec, UpstreamTCPSpec, UpstreamTimeouts
from posthouse.errors import Failure, FailureKind, Sent, Side
from posthouse.net.idle import IdleConnections
from posthouse.net.reactor import Reactor
from posthouse.net.resolver import Address, Resolver
from posthouse.net.tcp_options import tune
from posthouse.net.tls import ClientTLS, Dial
from posthouse.net.tls_engine import TLSFault
from posthouse.net.tls_transport import TLSTransport
from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.net.upstream_request import UpstreamRequest

Dialled = UpstreamH1 | Failure

HANDSHAKE_SECONDS: Final = 10.0
"""What TLS may take once the connection is open; `timeout` counts on meanwhile (reliability.md 2.18)."""
_ROOM: Final = 16
"""Warm connections that are closed when there is no descriptor for a new one: the next dials need one as well."""
_OUR_FAULT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Out of descriptors or memory: no backend is to blame for that."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What is done with a new connection before it carries a request.

    tls      with which identity, for an https endpoint
    preface  sent before all else, TLS included
    own      where it is kept while idle, None = with all others
    """

    tls: ClientTLS | None = None
    preface: bytes = b""
    tcp: UpstreamTCPSpec = field(default_factory=UpstreamTCPSpec)
    own: IdleConnections | None = None


PLAIN: Final = Opening()


class Connector:
    """Opens connections to backends over TCP, TLS and Unix sockets.

    on_exhausted  told when there is no descriptor for one, and nothing warm to close for it
    """

    __slots__ = ("_idle", "_loop", "_reactor", "_resolver", "_tasks", "on_exhausted")

    def __init__(self, reactor: Reactor, idle: IdleConnections) -> None:
        self._reactor = reactor
        self._loop = reactor.loop
        self._idle = idle
        self._resolver = Resolver(reactor.loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_exhausted: Callable[[], None] = _ignore

    def dial(
        self,
        key: Hashable,
        endpoint: EndpointSpec,
        timeouts: UpstreamTimeouts,
        on_done: Callable[[Dialled], None],
        opening: Opening = PLAIN,
    ) -> asyncio.Task[None]:
        """Open a connection; `on_done` gets it or why not, later. Cancel the task to call it off."""
        task = self._loop.create_task(self._run(key, endpoint, timeouts, on_done, opening))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(
        self,
        key: Hashable,
        endpoint: EndpointSpec,
        timeouts: UpstreamTimeouts,
        on_done: Callable[[Dialled], None],
        opening: Opening,
    ) -> None:
        idle = self._idle if opening.own is None else opening.own
        connection = UpstreamH1(self._reactor, idle, key)
        what = "connection"
        tls = opening.tls
        try:
            if (endpoint.scheme == "https") != (tls is not None):
                raise ValueError(f"{endpoint.text} with {tls!r}")
            async with asyncio.timeout(timeouts.connect):
                failure = await self._connect(connection, endpoint, timeouts.fallback_delay)
                if failure is not None and failure.side is Side.POSTHOUSE and await self._make_room():
                    failure = await self._connect(connection, endpoint, timeouts.fallback_delay)
                if failure is None:
                    _prepare(connection, opening)
                if failure is None and tls is not None:
                    what = "TLS handshake"
                    failure = await self._secure(connection, tls.dial(endpoint))
        except TimeoutError:
            limit = "the system's limit" if timeouts.connect is None else f"{timeouts.connect:g} s"
            failure = _failure(FailureKind.CONNECT_TIMEOUT, f"no {what} within {limit}")
        except Exception as error:
            # Whatever it is, the exchange must learn of it: it waits for nothing else.
            failure = Failure(FailureKind.CONNECT, Side.POSTHOUSE, repr(error), Sent.NOTHING)
        except asyncio.CancelledError:
            # Not raised again: a task keeps the error that cancelled it, with all frames, and they hold the task.
            connection.abandon()
            return
        if failure is None and connection.transport.is_closing():
            failure = _failure(FailureKind.CONNECT, "closed as soon as it was open")
        if failure is not None:
            connection.abandon()
        on_done(failure or connection)

    async def _connect(self, connection: UpstreamH1, endpoint: EndpointSpec, delay: float) -> Failure | None:
        try:
            if endpoint.unix:
                await self._loop.create_unix_connection(lambda: connection, endpoint.unix)  # type: ignore[type-var]
                return None
            try:
                addresses = await self._resolver.resolve(endpoint.host, endpoint.port)
            except OSError as error:
                if error.errno in _OUR_FAULT or _is_exhausted():
                    return Failure(FailureKind.DNS, Side.POSTHOUSE, os.strerror(errno.EMFILE), Sent.NOTHING)
                return _failure(FailureKind.DNS, f"{endpoint.host}: {error.strerror or error}")
            except UnicodeError:
                return _failure(FailureKind.DNS, f"{endpoint.host}: not a host name")
            if len(addresses) == 1:
                await self._open(connection, addresses[0])
            else:
                await self._race(connection, addresses, delay)
        except TimeoutError:
            raise
        except OSError as error:
            return _connect_failure(error)
        return None

    async def _make_room(self) -> bool:
        """No descriptor is left: whether closing warm connections to others has made room for one."""
        if not self._idle.trim(max(0, len(self._idle) - _ROOM)):
            self.on_exhausted()
            return False
        await asyncio.sleep(0)  # asyncio's transports close their sockets in the next turn
        return True

    async def _secure(self, connection: UpstreamH1, dial: Dial) -> Failure | None:
        """Shake hands on a connection that has just been opened; from then on its transport is the TLS one."""
        opened: asyncio.Future[TLSFault | ssl.SSLError | None] = self._loop.create_future()

        def tell(how: TLSFault | ssl.SSLError | None) -> None:
            if not opened.done():
                opened.set_result(how)

        plain = connection.transport
        if plain.is_closing():
            return _failure(FailureKind.TLS, "not TLS: the peer spoke or closed first")
        transport = TLSTransport(self._loop, self._reactor.scratch, dial.engine, connection, tell)
        transport.on_data = dial.keep_session
        transport.start(plain)
        limit = asyncio.timeout(HANDSHAKE_SECONDS)
        try:
            async with limit:
                error = await opened
        except TimeoutError:
            if not limit.expired():
                raise
            return _failure(FailureKind.CONNECT_TIMEOUT, f"no TLS handshake within {HANDSHAKE_SECONDS:g} s")
        return None if error is None else _failure(FailureKind.TLS, dial.explain(error))

    async def _open(self, connection: UpstreamH1, address: Address) -> None:
        await self._loop.create_connection(  # type: ignore[type-var]
            lambda: connection,
            address.host,
            address.port,
            family=address.family,
        )

    async def _race(self, connection: UpstreamH1, addresses: tuple[Address, ...], delay: float) -> None:
        """Try the addresses in order, the next one when one fails or `delay` has passed; the first to connect wins.

        (RFC 8305, happy eyeballs.) Raises the first OSError when all fail.
        """
        waiting = list(addresses)
        running: dict[asyncio.Task[None], UpstreamH1] = {}
        first_error: OSError | None = None
        try:
            while waiting or running:
                if waiting:
                    candidate = UpstreamH1(self._reactor, self._idle, connection.key)
                    running[self._loop.create_task(self._open(candidate, waiting.pop(0)))] = candidate
                done, _ = await asyncio.wait(
                    running, timeout=delay if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    candidate = running.pop(task)
                    error = task.exception()
                    if error is None:
                        connection.adopt(candidate)
                        return
                    if not isinstance(error, OSError):
                        raise error
                    first_error = first_error or error
        finally:
            for task, candidate in running.items():
                task.cancel()
                candidate.abandon()
        raise first_error or OSError("no address")


def _ignore() -> None:
    """Nobody is told."""


def _prepare(connection: UpstreamH1, opening: Opening) -> None:
    transport = connection.transport
    if opening.tcp != PLAIN.tcp:
        tune(transport, opening.tcp)
    if opening.preface and not transport.is_closing():
        transport.write(opening.preface)


def _connect_failure(error: OSError) -> Failure:
    number = error.errno or 0
    reason = os.strerror(number) if number else str(error)
    side = Side.POSTHOUSE if number in _OUR_FAULT else Side.UPSTREAM
    return Failure(FailureKind.CONNECT, side, reason, Sent.NOTHING)


def _is_exhausted() -> bool:
    """Whether no descriptor is left. The system's resolver says of that only that it could not tell."""
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno in _OUR_FAULT
    return False


def _failure(kind: FailureKind, reason: str) -> Failure:
    return Failure(kind, Side.UPSTREAM, reason, Sent.NOTHING)


def is_quiet(connection: UpstreamRequest) -> bool:
    """Whether nothing has arrived on an idle connection, its end included; one system call.

    The event loop may not have told us yet that the backend closed it. A request that can't be sent twice is worth
    the look.
    """
    transport = connection.transport
    tls = transport.get_extra_info("tls")
    if tls is not None:
        return bool(tls.catch_up())
    sock = transport.get_extra_info("socket")
    if sock is None:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN | select.POLLRDHUP)
    return not poll.poll(0)
