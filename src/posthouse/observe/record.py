"""`Subject`: what logs and placeholders may ask about one exchange."""

from __future__ import annotations

from typing import Protocol


class Subject(Protocol):
    """One exchange as logs and placeholders see it; finished or, for header rules, still running.

    Everything from the wire comes exactly as received and may hold any byte: whoever prints it escapes it.
    Text that came from the wire (`host`, `user`, `request_id`) is decoded as latin-1. "Absent" is b"", "",
    0 or None as noted.
    """

    @property
    def site(self) -> str:
        """The site's first address as written; "" when no site was found."""

    @property
    def method(self) -> bytes:
        """Request method, case kept; b"" when the request line could not be read."""

    @property
    def target(self) -> bytes:
        """Request target as received, in origin form ("/a?b", or "*"); b"" when it could not be read."""

    @property
    def rewrite_target(self) -> bytes:
        """The target after the site's path prefix was cut; not the changes made for a backend."""

    @property
    def version(self) -> bytes:
        """b"HTTP/1.1"; b"" when it could not be read."""

    @property
    def scheme(self) -> str:
        """ "http", or "https" if the downstream connection is TLS."""

    @property
    def host(self) -> str:
        """The Host field as sent, with its port; "" when there was none."""

    @property
    def peer(self) -> str:
        """Text of the peer's IP address; "" for a Unix socket."""

    @property
    def peer_port(self) -> int:
        """The peer's port; 0 for a Unix socket."""

    @property
    def client_ip(self) -> str:
        """The client's address seen through trusted proxies; the peer where there are none."""

    @property
    def request_id(self) -> str:
        """What the `request_id` directive gave this exchange, or ""."""

    @property
    def user(self) -> str:
        """Name of the authenticated user, or ""."""

    @property
    def status(self) -> int:
        """Status that went downstream (499 if the client left first); 0 while there is none."""

    @property
    def size(self) -> int:
        """Body bytes that went downstream."""

    @property
    def upstream(self) -> str | None:
        """The backend last tried, without credentials ("http://127.0.0.1:9000"); None if none was."""

    @property
    def attempts(self) -> int:
        """How many attempts were made; 0 if none was."""

    @property
    def failure(self) -> str | None:
        """The failure kind that decided the outcome, or None."""

    @property
    def queue_ms(self) -> int:
        """Milliseconds spent waiting for a free backend."""

    @property
    def wall(self) -> float:
        """`time.time()` at the start."""

    @property
    def started(self) -> float:
        """`time.monotonic()` at the start."""

    @property
    def finished(self) -> float:
        """`time.monotonic()` at the end; 0.0 while it is running."""

    def field(self, name: bytes) -> bytes | None:
        """A request field by lower-case name; None if absent.

        Several lines are joined with b"," (b"; " for `cookie`, as RFC 9113 section 8.2.3 has it).
        """

    def response_field(self, name: bytes) -> bytes | None:
        """A field of the response that goes downstream, by lower-case name; None if absent."""

    def request_body(self) -> bytes:
        """The first bytes of a request body of JSON or XML, where a template asks for it; else b""."""

    def request_head(self) -> bytes:
        """Request line and fields, CRLF after each, without the empty line at the end."""
