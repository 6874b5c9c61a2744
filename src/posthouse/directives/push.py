"""`push [PATH] [RESOURCE...] { method M · header NAME VALUE · RESOURCE }`: accepted, and without effect."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.messages import quote
from posthouse.directives.arguments import Rejected, each, path
from posthouse.directives.draft import SiteDraft
from posthouse.errors import Notice

_METHODS = ("GET", "HEAD")
WHY = "`push` has no effect: HTTP/1.1 cannot push, and browsers no longer take what is pushed"


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Judges the words and adds a notice. Raises Rejected."""
    for arg in dispenser.args:
        path(arg, "a path of `push`")
    each(dispenser, dispenser.lines(), lambda line: _read_line(line, dispenser))
    name = dispenser.name
    site.notices.append(Notice(name.place, WHY, name.width))


def _read_line(line: Property, dispenser: Dispenser) -> None:
    match line.name.text:
        case "method":
            if dispenser.check_line(line, Arity(1, 1)) and line.args[0].text.upper() not in _METHODS:
                raise Rejected(line.args[0], f"expected GET or HEAD, found {quote(line.args[0])}")
        case "header":
            dispenser.check_line(line, Arity(2, 2))
        case _:
            for resource in (line.name, *line.args):
                path(resource, "a resource")
