"""Answer: what we say ourselves, as a value; and `Visit`, an exchange as those see it who may answer.

A `Step` is a directive at work before the route (`rewrite`, `redir`, `basicauth` …): it lets the request go on, changes
where it goes, or answers. A `Responder` answers what no route takes (static files). Neither knows connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from posthouse.observe.record import Subject
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead


class Source(Protocol):
    """A body that is read piece by piece, such as a file. `length` bytes in all."""

    @property
    def length(self) -> int: ...

    def read(self, most: int) -> bytes:
        """The next bytes, at most `most`; b"" before `length` were read: it ended early. Raises OSError."""

    def close(self) -> None:
        """Give back what it holds. Called once, on every way out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response of our own.

    fields  besides Server, Date and Content-Length
    body    None: the page that the site has for the status, else the status as text
    cause   why, for the error log; "" = nothing went wrong
    """

    status: int
    fields: tuple[Field, ...] = ()
    body: bytes | Source | None = None
    cause: str = ""


class Wait:
    """Not now: who answers so calls `visit.resume` later, exactly once, unless the visit `is_finished` before."""

    def __repr__(self) -> str:
        return "<WAIT>"


WAIT: Final = Wait()


class Visit(Subject, Protocol):
    """One request while steps look at it: everything that placeholders may ask, and where it goes now.

    The path has no site prefix. `key` is the path as matchers compare it, `path` the same with its letter case, both
    decoded and in normal form; `wire_path` is encoded, as it would go to a backend; `query` has its "?", or is b"".
    """

    @property
    def head(self) -> RequestHead: ...
    @property
    def key(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def wire_path(self) -> bytes: ...
    @property
    def query(self) -> bytes: ...
    @property
    def is_finished(self) -> bool:
        """Nobody waits for an answer any more."""

    def retarget(self, target: bytes) -> bool:
        """Let it go to another path and query from now on, both encoded; False: this is no target (changes nothing)."""

    def authenticate(self, user: str) -> None:
        """Set what `{user}` says."""

    def resume(self, answer: Answer | None) -> None:
        """After WAIT: go on (a step only), or answer."""


class Step(Protocol):
    """A directive of a site that acts before the route."""

    def act(self, visit: Visit, /) -> Answer | Wait | None:
        """None: go on."""


class Responder(Protocol):
    """Answers what no route takes, or a path of its own."""

    def respond(self, visit: Visit, head: RequestHead, /) -> Answer | Wait:
        """WAIT: `visit.resume` gets the answer later.

        head: what is asked now; after an internal redirect a GET without a body, whatever the client sent."""


class Encoder(Protocol):
    """Codes one response body."""

    def feed(self, data: bytes) -> bytes:
        """The coded form of what came, whole: nothing is held back until more comes."""

    def finish(self, data: bytes = b"") -> bytes:
        """The coded form of the last piece, and what is left to say at the end."""


class Compression(Protocol):
    """`gzip` for one path of a site; the same for all requests with one head."""

    def begin(
        self, head: RequestHead, status: int, fields: list[Field], length: int
    ) -> tuple[list[Field], Encoder | None]:
        """The fields of a response as they go on, and who codes its body (None: nobody, and its length stays).

        head    of the request: whether its client takes the coding; a HEAD has an encoder too, if GET would
        fields  without Content-Length and framing
        length  of the body, -1 = unknown
        """
