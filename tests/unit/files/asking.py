"""A folder of files, and asking a file server for one without a connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from posthouse.files.file_server import FileServer
from posthouse.protocol.h1 import RequestHead
from posthouse.protocol.target import Targets
from posthouse.proxy.answer import Answer, Visit
from unit.proxy.samples import read_head

TARGETS = Targets()


def ask_head(target: str = "/", *lines: str, method: str = "GET") -> RequestHead:
    """The head of a request."""
    return read_head("\n".join((f"{method} {target} HTTP/1.1", "Host: x", *lines)))


def visit_of(head: RequestHead, path: str = "", query: bytes | None = None) -> Visit:
    """A visit that has come to `path`; without one it is where the head says."""
    target = head.target
    path = path or target.path
    visit: Any = SimpleNamespace(
        head=head,
        path=path,
        key=path.lower(),
        wire_path=target.wire_path,
        query=target.query if query is None else query,
        is_finished=False,
        resumed=[],
    )
    visit.resume = visit.resumed.append
    found: Visit = visit
    return found


def ask(
    server: FileServer, target: str = "/", *lines: str, method: str = "GET", path: str = ""
) -> tuple[Answer, bytes]:
    """The answer, and its whole body; the source is read in odd pieces and closed."""
    head = ask_head(target, *lines, method=method)
    answer = server.respond(visit_of(head, path), head)
    assert isinstance(answer, Answer)
    source = answer.body
    if source is None or isinstance(source, bytes):
        return answer, source or b""
    data = b""
    while len(data) < source.length:
        piece = source.read(min(7, source.length - len(data)))
        assert piece, "it ended early"
        data += piece
    source.close()
    return answer, data


def field(answer: Answer, name: bytes) -> bytes | None:
    """The only value of a field, None if absent."""
    values = [one.value for one in answer.fields if one.lower == name.lower()]
    assert len(values) < 2
    return values[0] if values else None
