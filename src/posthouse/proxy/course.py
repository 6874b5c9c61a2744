"""Course: where a request goes, worked out from its head alone. Hops 3 and 4 of a request's life.

A course depends on the plan, the head and the peer, on nothing else. So it is worked out once for a connection that
sends the same head again and again, and an exchange holds its course instead of a copy of each fact. Where steps
(`rewrite`, `basicauth` …) have a say, each exchange has a course of its own, which they change before it is settled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posthouse.balance.backend import Backend
from posthouse.errors import ProtocolError
from posthouse.protocol.blocks import RequestFields
from posthouse.protocol.h1 import TARGET_BYTES, RequestHead
from posthouse.protocol.target import Target
from posthouse.proxy import forwarding, upgrade
from posthouse.proxy.answer import Compression, Responder
from posthouse.proxy.rewrite import NO_RULES, HeaderProgram
from posthouse.proxy.route import LOOP_LIMIT, Route
from posthouse.proxy.site import Site

if TYPE_CHECKING:
    from posthouse.proxy.plan import ListenerPlan

_OF_THE_BODY: Final = frozenset(
    (
        *(b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"expect"),
        *(b"trailer", b"upgrade"),
    )
)
_SENDS_LENGTH: Final = frozenset((b"POST", b"PUT", b"PATCH"))


class Course:
    """What the plan says about one head.

    head           what goes to backends: the client's, but after an internal redirect
    site, route    None where there is none
    responder      who answers instead of a route
    key            the path as matchers compare it, without the site's prefix, as it is now
    path           the same with its letter case; wire_path: encoded, as it goes to backends; query: with its "?"
    log_key        the key that the request came with
    user           who was authenticated, or ""
    status         with which to answer at once, 0 = go on to the route
    framing_lines  framing and hop-by-hop lines of the outgoing head
    program        rules for the response
    compression    `gzip` for the response, or None
    is_direct      no rule, no directive and no policy touches the response, or looks at it
    is_judged      the route's pool has a use for the head of the response (proxy/judging.py)
    heads          finished outgoing heads by backend, where no rule makes them differ between requests
    """

    __slots__ = (
        *(
            "body_limit",
            "client_ip",
            "compression",
            "framing_lines",
            "has_expect",
            "head",
            "heads",
            "is_direct",
            "is_judged",
            "key",
            "log_key",
            "path",
        ),
        *(
            "plan",
            "program",
            "query",
            "redirects",
            "responder",
            "route",
            "site",
            "status",
            "user",
            "wire_path",
        ),
    )

    def __init__(self, plan: ListenerPlan, head: RequestHead) -> None:
        self.plan = plan
        self.head = head
        self.site: Site | None = None
        self.route: Route | None = None
        self.responder: Responder | None = None
        self.key = self.path = self.user = ""
        self.wire_path = self.framing_lines = b""
        self.query = head.target.query
        self.redirects = 0
        self.compression: Compression | None = None
        self.is_direct = self.is_judged = False
        self.body_limit: int | None = None
        self.has_expect = False
        self.client_ip = ""
        self.program: HeaderProgram = NO_RULES
        self.heads: dict[Backend, bytes] = {}
        self.status = self._find(plan, head)
        self.log_key: str = self.key

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
        if plan.is_refusing:
            return 503
        if head.fields.via and forwarding.count_passages(head.fields.via) >= LOOP_LIMIT:
            return 508
        self.body_limit = site.body_limit(self.key)
        if self.body_limit is not None and head.fields.length > self.body_limit:
            return 413
        return 0 if site.steps else self.settle()

    def settle(self) -> int:
        """Find who answers the path as it is now; the status with which to answer at once, or 0."""
        site = self.site
        assert site is not None
        self.responder = site.responders.get(self.key) if site.responders else None
        self.route = route = site.find_route(self.key) if self.responder is None else None
        if route is None and self.responder is None:
            self.responder = site.responder
            if self.responder is None:
                return 404
        self.program = site.response_program(self.key, route)
        if site.compressions is not None:
            self.compression = site.compressions.find(self.key)
        self.is_direct = self.program.is_empty and self.compression is None and not site.is_internal
        self.is_judged = route is not None and route.judge is not None
        if route is not None:
            if not route.is_direct:
                self.is_direct = False
            self._frame(self.head, route)
        return 0

    def retarget(self, raw: bytes) -> bool:
        """Go to another path and query of the site; False, and no change, if `raw` is no target."""
        site = self.site
        assert site is not None
        try:
            target = site.targets.judge(raw)
        except ProtocolError:
            return False
        self._move(target)
        return True

    def _move(self, target: Target) -> None:
        self.key, self.path, self.wire_path = target.key, target.path, target.wire_path
        self.query = target.query
        self.heads = {}

    def redirected(self, raw: bytes) -> Course | None:
        """The course of an internal redirect: to `raw`, with what is left of the request; None if that is no target.

        `raw` has the limit of a target that a client sends. The body has been sent to the backend that redirects, so
        what goes on is a GET (or HEAD), as in nginx.
        """
        if len(raw) > TARGET_BYTES:
            return None
        fields = [field for field in self.head.fields.all if field.lower not in _OF_THE_BODY]
        old = self.head.fields
        left = RequestFields(fields)
        left.host_value, left.host_name = old.host_value, old.host_name
        method = b"HEAD" if self.head.method == b"HEAD" else b"GET"
        course = Course.__new__(Course)
        for name in Course.__slots__:
            setattr(course, name, getattr(self, name))
        course.head = RequestHead(method, self.head.target, self.head.version, left)
        course.redirects = self.redirects + 1
        course.framing_lines = b""
        course.has_expect = False
        if not course.retarget(raw):
            return None
        course.status = course.settle()
        return course

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
