"""Check: what one backend is asked, made once when the generation is built."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from posthouse.balance.backend import Backend
from posthouse.config.specs import EndpointSpec, HealthSpec, UpstreamTimeouts


@dataclass(frozen=True, slots=True)
class Check:
    """One backend with what it is asked. Equal checks are the same one: it goes on over a reload.

    pool      its name, for the log
    endpoint  what is dialled: the backend's, or one with the port of the check
    timeouts  `connect` and `fallback_delay` act on the dial, besides the timeout of the check
    head      the whole request; b"" = connecting is enough
    tls       the TLS identity that an https endpoint is dialled with
    preface   what the connection begins with, before TLS
    """

    backend: Backend
    pool: str
    spec: HealthSpec
    endpoint: EndpointSpec
    timeouts: UpstreamTimeouts
    head: bytes = field(repr=False)
    tls: Hashable | None = None
    preface: bytes = b""

    def asks_the_same(self, other: Check) -> bool:
        """Whether what one found is true of the other as well: only pace and thresholds differ."""
        mine, theirs = self.spec.check, other.spec.check
        return (self.backend, self.endpoint, self.tls, self.preface, self.head, mine) == (
            other.backend,
            other.endpoint,
            other.tls,
            other.preface,
            other.head,
            theirs,
        )
