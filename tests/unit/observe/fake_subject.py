"""An exchange made of plain values, for the tests of logs and placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from posthouse.observe.record import Subject

WALL = 1769860800.1239
"""2026-01-31T12:00:00.123Z."""


@dataclass(slots=True)
class FakeSubject:
    """A finished GET with every value present; a test changes what it is about."""

    site: str = "www.example.org"
    method: bytes = b"GET"
    target: bytes = b"/shop/a%20b/c.html?x=1&y=a+b%21&x=2"
    rewrite_target: bytes = b"/a%20b/c.html?x=1&y=a+b%21&x=2"
    version: bytes = b"HTTP/1.1"
    scheme: str = "http"
    host: str = "www.Example.org:8080"
    peer: str = "192.0.2.7"
    peer_port: int = 50123
    client_ip: str = "198.51.100.1"
    request_id: str = "0f0e0d0c-0b0a-0908-0706-050403020100"
    user: str = "ann"
    status: int = 200
    size: int = 1234
    upstream: str | None = "http://127.0.0.1:9000"
    attempts: int = 1
    failure: str | None = None
    queue_ms: int = 0
    wall: float = WALL
    started: float = 100.0
    finished: float = 100.0123
    fields: Mapping[bytes, bytes] = field(
        default_factory=lambda: {b"referer": b"http://a.example/", b"user-agent": b"curl/8.5.0"}
    )
    response_fields: Mapping[bytes, bytes] = field(default_factory=lambda: {b"content-type": b"text/html"})
    body: bytes = b'{"a": 1}'

    def field(self, name: bytes) -> bytes | None:
        return self.fields.get(name)

    def response_field(self, name: bytes) -> bytes | None:
        return self.response_fields.get(name)

    def request_body(self) -> bytes:
        return self.body

    def request_head(self) -> bytes:
        lines = [b" ".join((self.method, self.target, self.version))]
        lines += [name + b": " + value for name, value in self.fields.items()]
        return b"".join(line + b"\r\n" for line in lines)


def as_subject(fake: FakeSubject) -> Subject:
    """The type checker's proof that a `FakeSubject` is a `Subject`."""
    return fake
