"""What can go wrong, as values and as exceptions. Imports nothing from Posthouse.

Data-plane failures (a backend refused, a client left) are `Failure` values: `Retry` reads them and one table
turns them into a status. Exceptions are for bugs and for the control plane (configuration, start).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something was written: file name as given, line and column counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Place("", 0, 0)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with a configuration, ready to be shown to a person.

    message   what was found and what was expected, one line, no place in it
    width     how many characters from the place on are underlined (at least 1)
    hint      a further line ("did you mean `round_robin`?"), or ""
    """

    place: Place
    message: str
    width: int = 1
    hint: str = ""


class ConfigError(Exception):
    """A configuration that cannot be used: one or more mistakes, in the order of the file."""

    def __init__(self, mistakes: list[Mistake] | Mistake) -> None:
        self.mistakes: tuple[Mistake, ...] = tuple([mistakes] if isinstance(mistakes, Mistake) else mistakes)
        super().__init__("; ".join(f"{m.place}: {m.message}" for m in self.mistakes))


class StartError(Exception):
    """Posthouse could not start (port taken, file missing, no permission). The text is one clear line."""


class ProtocolError(Exception):
    """A peer broke the protocol, or asked for more than a limit allows.

    status   what a downstream peer is told (400, 408, 413, 414, 431, 405, 505 ...); for an upstream it is 502
    reason   for the log, one short phrase; never shown to the peer
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class FailureKind(enum.StrEnum):
    """Why an exchange or an attempt failed: the words of logs, metrics and `{failure}`."""

    NO_BACKEND = "no_backend"
    FULL = "full"
    QUEUE_TIMEOUT = "queue_timeout"
    DNS = "dns"
    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    RESET = "reset"
    RESPONSE_TIMEOUT = "response_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    EXCHANGE_TIMEOUT = "exchange_timeout"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    CLIENT_GONE = "client_gone"
    CLIENT_TIMEOUT = "client_timeout"
    CLIENT_MALFORMED = "client_malformed"


class Side(enum.Enum):
    """Whose fault a failure is."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    POSTHOUSE = "posthouse"


class Sent(enum.IntEnum):
    """How much of the request may have reached the backend when the attempt failed."""

    NOTHING = 0
    """Not a byte was handed to the socket: the application cannot have seen the request."""
    SOME = 1
    """At least a byte was handed to the socket: the application may have acted on it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one attempt, as `Retry` needs to know it."""

    kind: FailureKind
    side: Side
    reason: str = ""
    """For the log: one short phrase with the facts (errno text, which timer, which grammar rule)."""
    sent: Sent = Sent.SOME
    is_reused: bool = False
    """The attempt ran on a kept-alive connection (its peer may have closed it just then)."""
    is_response_started: bool = False
    """A byte of the final response had come from the backend."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning about a configuration that is used all the same."""

    place: Place
    message: str
    width: int = field(default=1, compare=False)
