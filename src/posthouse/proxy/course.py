"""Course: where a request goes, worked out from its head alone. Hops 3 and 4 of a request's life.

A course depends on the plan, the head and the peer, on nothing else. So it is worked out once for a connection that
sends the same head again and again, and an exchange holds its course instead of a copy of each fact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posthouse.balance.backend import Backend
from posthouse.protocol.h1 import RequestHead
from posthouse.proxy import forwarding, upgrade
from posthouse.proxy.rewrite import NO_RULES, HeaderProgram
from posthouse.proxy.route import LOOP_LIMIT, Route
from posthouse.proxy.site import Site

if TYPE_CHECKING:
    from posthouse.proxy.plan import ListenerPlan

_SENDS_LENGTH: Final = frozenset((b"POST", b"PUT", b"PATCH"))


class Course:
    """What the plan says about one head.

    site, route    None where there is none
    key            the path as matchers compare it, without the site's prefix
    path           the same with its letter case; wire_path: encoded, as it goes to backends
    status         with which to answer at once, 0 = go on to the route
    framing_lines  framing and hop-by-hop lines of the outgoing head
    program        rules for the response
    heads          finished outgoing heads by backend, where no rule makes them differ between requests
    """

    __slots__ = (
        *(
            "body_limit",
            "client_ip",
            "framing_lines",
            "has_expect",
            "head",
            "heads",
            "key",
            "path",
            "plan",
            "program",
            "route",
        ),
        *("site", "status", "wire_path"),
    )

    def __init__(self, plan: ListenerPlan, head: RequestHead) -> None:
        self.plan = plan
        self.head = head
        self.site: Site | None = None
        self.route: Route | None = None
        self.key = self.path = ""
        self.wire_path = self.framing_lines = b""
        self.body_limit: int | None = None
        self.has_expect = False
        self.client_ip = ""
        self.program: HeaderProgram = NO_RULES
        self.heads: dict[Backend, bytes] = {}
        self.status = self._find(plan, head)

    def __repr__(self) -> str:
        return f"<Course {self.key!r} {self.site!r} {self.route!r} status={self.status}>"

    def _find(self, plan: ListenerPlan, head: RequestHead) -> int:
        if head.target.is_asterisk:
            return 200
        found = plan.sites.find(head.host_name, head.target)
        if found is None:
            return 404
        site, self.key, self.path, self.wire_path = found
        self.site = site
        if head.fields.via and forwarding.count_passages(head.fields.via) >= LOOP_LIMIT:
            return 508
        self.route = route = site.find_route(self.key)
        if route is None:
            return 404
        self.program = site.response_program(self.key, route)
        self.body_limit = site.body_limit(self.key)
        if self.body_limit is not None and head.fields.length > self.body_limit:
            return 413
        self._frame(head, route)
        return 0

    def _frame(self, head: RequestHead, route: Route) -> None:
        fields = head.fields
        lines = b""
        options = [b"close"] if not route.keepalive else []
        if fields.is_chunked:
            lines = b"Transfer-Encoding: chunked\r\n" + b"".join([field.wire for field in fields.trailer])
        elif fields.length >= 0:
            lines = b"Content-Length: %d\r\n" % fields.length
        elif head.method in _SENDS_LENGTH:
            lines = b"Content-Length: 0\r\n"
        if fields.expects_continue and head.has_body and head.version == b"HTTP/1.1":
            self.has_expect = True
            lines += b"Expect: 100-continue\r\n"
        if fields.has_te_trailers:
            lines += b"TE: trailers\r\n"
            options.append(b"TE")
        if fields.protocols is not None and upgrade.is_wanted(head):
            lines += b"Upgrade: %b\r\n" % fields.protocols
            options = [b"Upgrade"]
        if options:
            lines += b"Connection: %b\r\n" % b", ".join(options)
        self.framing_lines = lines
