"""`redir`: the client is told to go elsewhere.

A Location is printable ASCII, whatever the request holds. One that the Caddyfile means to be a path stays on this host:
`//host` and `/\\host`, which browsers take for another one, cannot come of a path.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Final

from posthouse.config.step_specs import RedirectSpec
from posthouse.protocol.fields import Field
from posthouse.protocol.target import normalise
from posthouse.proxy.answer import Answer, Visit
from posthouse.proxy.reply import status_line
from posthouse.steps.conditions import Conditions
from posthouse.steps.url_template import UrlTemplate

_HTML: Final = Field(b"Content-Type", b"text/html; charset=utf-8")
_PATH = re.compile(r"/(?!/)|\{(?:path|uri|rewrite_path|rewrite_uri|dir)\}")
_WHOLE_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|\{(?!file\})")

_PAGE: Final = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
{refresh}<title>{title}</title>
</head>
<body>
<a href="{location}">{title}</a>
</body>
</html>
"""


class Rule:
    """One line of `redir`, compiled."""

    __slots__ = ("_conditions", "_is_path", "_source", "_template", "spec")

    def __init__(self, spec: RedirectSpec) -> None:
        self.spec = spec
        self._source = _normal(spec.source)
        self._conditions = Conditions(spec.conditions)
        self._is_path = _PATH.match(spec.to) is not None
        self._template = UrlTemplate(spec.to, is_path=_WHOLE_URL.match(spec.to) is None or self._is_path)

    def applies(self, visit: Visit) -> bool:
        """The path is exactly FROM ("/" takes any), and the conditions hold."""
        return (self._source == "/" or visit.path == self._source) and self._conditions.hold(visit)

    def location(self, visit: Visit) -> bytes:
        """Where to; b"" if what the request holds makes nothing of it."""
        made = self._template.expand(visit)
        if self._is_path:
            return b"/" + made.lstrip(b"/")
        if _WHOLE_URL.match(self.spec.to) is None:
            # Relative to the folder of the request: `./` keeps a name with a colon in it from being a scheme.
            return b"./" + made.lstrip(b"/")
        return made

    def answer(self, visit: Visit) -> Answer:
        """The redirect."""
        location = self.location(visit)
        if not location:
            return Answer(400, cause=f"the redir at {self.spec.place} leads nowhere")
        if self.spec.is_meta:
            return Answer(200, (_HTML,), _page(location.replace(b"'", b"%27"), "Redirecting", is_meta=True))
        title = status_line(self.spec.status).decode("ascii")
        return Answer(
            self.spec.status, (Field(b"Location", location), _HTML), _page(location, title, is_meta=False)
        )


class Redirects:
    """The `redir` lines of a site: the first of the file that applies."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def __repr__(self) -> str:
        return f"<Redirects rules={len(self._rules)}>"

    def act(self, visit: Visit) -> Answer | None:
        """Answer, if a rule says so."""
        for rule in self._rules:
            if rule.applies(visit):
                return rule.answer(visit)
        return None


def _normal(path: str) -> str:
    return normalise(path.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _page(location: bytes, title: str, *, is_meta: bool) -> bytes:
    shown = html.escape(location.decode("ascii"))
    refresh = f'<meta http-equiv="refresh" content="0; url=\'{shown}\'">\n' if is_meta else ""
    return _PAGE.format(refresh=refresh, title=title, location=shown).encode("ascii")
