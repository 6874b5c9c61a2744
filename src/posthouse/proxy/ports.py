"""What an exchange needs of the two connections and of its worker, as small protocols beside the code that uses them.

`net` implements them; `server/generation.py` brings both together. So the request's path can be driven in a test
without a socket.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final, Protocol

from posthouse.balance.backend import Backend
from posthouse.config.specs import PoolSpec
from posthouse.observe.metrics import Metrics
from posthouse.protocol.fields import Field

NO_BODY, SIZED, STREAMED = range(3)
"""How the body of an answer is delimited: there is none; by the Content-Length given; the stream chooses."""
PEER_FULL: Final = 1
"""Reason to pause a side: the other one can't take more."""
NO_PEER: Final = 2
"""Reason to pause the client: there is no backend connection yet."""
CODING: Final = 8
"""Reason to pause the backend: what it sent is still being coded."""
NEVER: Final = math.inf


class Stream(Protocol):
    """The client's side of one exchange."""

    peer: str
    peer_port: int
    scheme: str
    memo: Any
    """For the exchange's use: the course of the last request."""
    peer_lines: bytes
    """For the exchange's use: the lines that say who the peer is; b"" until they are made."""
    own: Any
    """For the worker's use: the connections to backends that are this client's alone; None: there are none."""
    transport: asyncio.Transport

    @property
    def addressed(self) -> tuple[str, int]:
        """What the client connected to."""

    @property
    def is_full(self) -> bool: ...
    @property
    def has_whole_request(self) -> bool: ...
    def send_informational(self, head: bytes) -> None: ...
    def send_head(self, status: bytes, lines: bytes, mode: int, body: bytes, is_end: bool) -> None: ...
    def send_body(self, data: bytes) -> None: ...
    def send_end(self, trailers: list[Field]) -> None: ...
    def reset(self) -> None:
        """Show the client that the answer is cut."""

    def close_after_answer(self) -> None: ...
    def limit_stall(self, seconds: float) -> None: ...
    def block(self, reason: int) -> None: ...
    def unblock(self, reason: int) -> None: ...
    def pump_to(self, target: asyncio.Transport) -> bool: ...
    def leave_http(self) -> bytes:
        """The connection is a tunnel's from now on; answers what the client sent already."""

    def tunnel_ended(self) -> None:
        """The tunnel is over and the transport closed."""


class Upstream(Protocol):
    """The backend's side of one attempt."""

    transport: asyncio.Transport

    def begin(self, exchange: Any, idle_timeout: float, *, is_bodiless: bool) -> None: ...
    def send(self, data: bytes) -> None: ...
    def expect_body(self, *, is_chunking: bool) -> None: ...
    def keep_ear(self) -> None: ...
    def send_body(self, data: bytes) -> None: ...
    def send_end(self, trailers: list[Field]) -> None: ...
    def wait(self, seconds: float, now: float) -> None: ...
    def block(self, reason: int) -> None: ...
    def unblock(self, reason: int) -> None: ...
    def pump_to(self, target: asyncio.Transport) -> bool: ...
    def release(self, most: int) -> None: ...
    def close(self) -> None: ...


class Cancellable(Protocol):
    """A timer or a dial that can be called off."""

    def cancel(self) -> object: ...


class Timed(Protocol):
    """Something with a deadline (net/timers.py)."""

    deadline: float
    bucket: int
    wake: float

    def on_deadline(self, now: float) -> None: ...


class Timers(Protocol):
    """Where deadlines are kept (net/timers.py)."""

    def set(self, timed: Any, deadline: float, /) -> None: ...
    def forget(self, timed: Any, /) -> None: ...


class Log(Protocol):
    """The process log."""

    def info(self, what: str, *, key: str | None = None, **fields: Any) -> None: ...
    def warn(self, what: str, *, key: str | None = None, **fields: Any) -> None: ...
    def error(self, what: str, *, key: str = "", **fields: Any) -> None: ...


class Services(Protocol):
    """What a worker lends to its exchanges."""

    clock: Callable[[], float]
    chance: Callable[[], float]
    metrics: Metrics | None
    """Where exchanges are counted; None: nobody can ask."""
    sources: int
    """Bodies that are being read from a source; the exchanges count them."""

    @property
    def timers(self) -> Timers: ...
    @property
    def log(self) -> Log: ...
    @property
    def full_clients(self) -> int:
        """Clients that read more slowly than they are written to."""

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Cancellable: ...
    def acquire(self, backend: Backend, *, is_careful: bool, client: Stream | None) -> Upstream | None:
        """A warm connection; is_careful: look first whether its peer has closed it; client: only one of its own."""

    def dial(
        self, backend: Backend, pool: PoolSpec, client: Stream, on_done: Callable[[Any], None], /
    ) -> Cancellable:
        """A new connection, as the pool's settings say; `on_done` gets it or a Failure, later."""
