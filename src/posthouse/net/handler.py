"""What connections need of the exchange that uses them, and of the plan that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from posthouse.errors import Failure, FailureKind, ProtocolError
from posthouse.net.timers import NEVER
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import HeadLimits, RequestHead, ResponseHead

if TYPE_CHECKING:
    from posthouse.net.entrance import Introducers


@dataclass(frozen=True, slots=True)
class DownstreamTimeouts:
    """The waits for a client, seconds; NEVER = off."""

    header: float = 10.0
    body: float = 30.0
    idle: float = 300.0
    read: float = NEVER
    write: float = NEVER


class Handler(Protocol):
    """What answers a request (an exchange)."""

    def start(self, body: bytes, is_end: bool) -> None:
        """Begin; `body`: what came with the head; `is_end`: the request is complete."""

    def on_request_body(self, data: bytes) -> None: ...
    def on_request_end(self, trailers: list[Field]) -> None: ...
    def on_request_broken(self, error: ProtocolError, kind: FailureKind) -> None:
        """The rest of the body will never come; the client may still read an answer."""

    def on_downstream_lost(self, kind: FailureKind) -> None:
        """The client is gone; nothing can be sent any more."""

    def on_downstream_full(self) -> None: ...
    def on_downstream_ready(self) -> None: ...
    def on_body_pumped(self, size: int) -> None: ...


class Plan(Protocol):
    """What a listening address does with requests, in the current generation."""

    limits: HeadLimits
    timeouts: DownstreamTimeouts
    has_totals: bool
    """Whether `timeouts read` or `timeouts write` is set."""
    is_refusing: bool
    """New requests are answered with 503: the worker has not the memory for them."""

    introducers: Introducers | None
    """The peers that have to begin with a PROXY protocol header; None: there are none."""
    has_nodelay: bool
    """Whether small pieces go to the client at once."""

    def begin(self, stream: Any, head: RequestHead, now: float) -> Handler:
        """The handler of a new request."""

    def refuse(self, stream: Any, error: ProtocolError, is_head: bool) -> bytes:
        """The whole answer to a request that could not be read, without its body if that was a HEAD; logs it."""

    def refuse_peer(self, peer: str, network: str, reason: str) -> None:
        """A connection gets no answer; logs it. network: which of `introducers` the peer is one of."""


class ResponseHandler(Protocol):
    """What a response is for (an exchange)."""

    def on_informational(self, head: ResponseHead) -> None: ...
    def on_upgrade(self, head: ResponseHead, rest: bytes) -> None:
        """101: from here on the connection is not HTTP; `rest` came after the head."""

    def on_response(self, head: ResponseHead, body: bytes, is_end: bool, length: int) -> None:
        """The final head with what came of the body; length: -1 = unknown, 0 = no body follows."""

    def on_response_body(self, data: bytes) -> None: ...
    def on_response_end(self, trailers: list[Field]) -> None: ...
    def on_upstream_failure(self, failure: Failure) -> None:
        """The backend broke off or took too long; the connection is closed already."""

    def on_upstream_full(self) -> None: ...
    def on_upstream_ready(self) -> None: ...
    def on_response_pumped(self, size: int) -> None: ...
