"""Sites: host and path to a site, and within a site the path to a route. Hop 3 of a request's life."""

from __future__ import annotations

import ipaddress
import uuid
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from posthouse.config.specs import HeaderRule, SiteSpec
from posthouse.observe.metrics import Cell
from posthouse.observe.record import Subject
from posthouse.protocol.target import Target, Targets, cut_prefix, ending, normalise
from posthouse.proxy.answer import Compression, Responder, Step
from posthouse.proxy.rewrite import NO_RULES, HeaderProgram
from posthouse.proxy.route import Route

_MEMO: Final = 4096
_HOPS: Final = 64
"""Most proxies that a request is believed to have passed; a list of thousands must not cost seconds."""
_HOST_NAME: Final = 253
"""RFC 1035 2.3.4, as text."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Sink(Protocol):
    """Where finished lines of an access log go."""

    def write(self, line: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class LogScope:
    """One `log` of a site: for which paths (but those under `excepts`), how a line is made, where it goes."""

    key: str
    line: Callable[[Subject], bytes]
    sink: Sink
    excepts: tuple[str, ...] = ()


class Errors(Protocol):
    """`errors` of a site: pages for the statuses that we answer ourselves, and a log of what went wrong."""

    def body(self, status: int, path: str, cause: str) -> tuple[bytes, bytes] | None:
        """Content type and body for a status; None: the status as text. `path` as it is now, rewritten."""

    def log(self, status: int, path: str, cause: str) -> None:
        """Write the line of an error; `path` as it is now, rewritten."""


class Compressions(Protocol):
    """`gzip` of a site."""

    def find(self, key: str) -> Compression | None:
        """What applies to responses for this path, or None."""


def path_key(path: str, targets: Targets) -> str:
    """A path of the configuration as matchers compare it."""
    cleaned = normalise(path.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    return targets.key(cleaned)


class RequestIds:
    """`request_id`: a UUID for every request, taken from a field if that holds one."""

    __slots__ = ("_source",)

    def __init__(self, source: str) -> None:
        self._source = source.lower().encode("utf-8")

    def make(self, subject: Subject) -> str:
        """The id of a request."""
        given = subject.field(self._source) if self._source else None
        if given is not None:
            try:
                return str(uuid.UUID(given.decode("latin-1")))
            except ValueError:
                pass
        return str(uuid.uuid4())


class Site:
    """One server block at work.

    The generation sets what only some sites have:

    steps         what acts before the route, in order of effect
    responder     who answers what no route takes; None: 404
    responders    who answers a path instead of the routes, by its key (`metrics`)
    cell          where what it answers without a route is counted, once somebody can ask
    compressions  `gzip`; errors: `errors`
    is_internal   whether a backend may send a request elsewhere in the site, with X-Accel-Redirect (`internal`)
    keeps_body    whether a template asks for the request body
    """

    __slots__ = (
        *(
            "_body_limits",
            "_headers",
            "_media",
            "_programs",
            "_trust",
            "_trusted",
            "address",
            "cell",
            "compressions",
            "errors",
            "has_trusted",
            "is_internal",
        ),
        *(
            "keeps_body",
            "logs",
            "request_id",
            "responder",
            "responders",
            "routes",
            "spec",
            "steps",
            "targets",
        ),
    )

    def __init__(
        self, spec: SiteSpec, routes: Sequence[Route], logs: Sequence[LogScope], targets: Targets
    ) -> None:
        self.spec = spec
        self.targets = targets
        self.address = spec.addresses[0].text if spec.addresses else ""
        # sorted() is stable: on equal length the first in the file wins (caddy1.md 2.1).
        self.routes = sorted(routes, key=lambda route: -len(route.base_key))
        self.logs = sorted(logs, key=lambda scope: -len(scope.key))
        self.request_id = RequestIds(spec.request_id.source) if spec.request_id is not None else None
        self._headers = [(path_key(scope.path, targets), scope.rules) for scope in spec.headers]
        self._media = {name: HeaderRule("set", "Content-Type", value) for name, value in spec.mime}
        self._programs: dict[tuple[tuple[int, ...], str, int], HeaderProgram] = {}
        self._body_limits = sorted(
            ((path_key(path, targets), size) for path, size in spec.limits.body),
            key=lambda pair: -len(pair[0]),
        )
        self._trusted: list[Network] = [ipaddress.ip_network(text) for text in spec.trusted_proxies]
        self.has_trusted = bool(self._trusted)
        self._trust: dict[str, bool] = {}
        self.steps: tuple[Step, ...] = ()
        self.responder: Responder | None = None
        self.responders: Mapping[str, Responder] = {}
        self.cell: Cell | None = None
        self.compressions: Compressions | None = None
        self.errors: Errors | None = None
        self.is_internal = self.keeps_body = False

    def __repr__(self) -> str:
        return f"<Site {self.address!r} routes={len(self.routes)}>"

    def find_route(self, key: str) -> Route | None:
        """The route with the longest FROM that matches and does not except this path."""
        for route in self.routes:
            if key.startswith(route.base_key) and not route.is_excepted(key):
                return route
        return None

    def body_limit(self, key: str) -> int | None:
        """Most bytes of a request body for this path, or None."""
        for prefix, size in self._body_limits:
            if key.startswith(prefix):
                return size
        return None

    def scopes(self, key: str) -> Sequence[LogScope]:
        """The logs that take a request: those with the most specific path, unless they except it."""
        logs = self.logs
        if not logs or (len(logs) == 1 and logs[0].key == "/" and not logs[0].excepts):
            return logs
        longest = next((len(scope.key) for scope in logs if key.startswith(scope.key)), 0)
        return [
            scope
            for scope in logs
            if len(scope.key) == longest and key.startswith(scope.key) and not key.startswith(scope.excepts)
        ]

    def trusts(self, peer: str) -> bool:
        """Whether forwarding fields of this peer are believed (`trusted_proxies`)."""
        known = self._trust.get(peer)
        if known is None:
            known = self._judge(peer)
            if len(self._trust) >= _MEMO:
                self._trust.clear()
            self._trust[peer] = known
        return known

    def _judge(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._trusted if network.version == address.version)

    def client_ip(self, peer: str, forwarded: Sequence[bytes]) -> str:
        """The address of the client: from right to left, the first that is not a trusted proxy's."""
        client = peer
        for part in reversed(b",".join(forwarded).rsplit(b",", _HOPS)[-_HOPS:]):
            if not self.trusts(client):
                break
            text = part.strip(b" \t").decode("latin-1")
            try:
                client = str(ipaddress.ip_address(text.strip("[]")))
            except ValueError:
                break
        return client

    def response_program(self, key: str, route: Route | None) -> HeaderProgram:
        """Rules for a response: `header_downstream` of the route, its `mime`, then the `header` scopes that match.

        Of our own answers (no route) only files have a media type of the site's, and they bring it with them.
        """
        if not self._headers and not self._media:
            return NO_RULES if route is None else route.downstream_program
        matching = tuple(i for i, (prefix, _) in enumerate(self._headers) if key.startswith(prefix))
        media = self._media.get(ending(key)) if route is not None and self._media else None
        memo = (matching, media.value if media is not None else "", id(route))
        program = self._programs.get(memo)
        if program is None:
            rules: list[HeaderRule] = [] if route is None else list(route.spec.header_downstream)
            if media is not None:
                rules.append(media)
            for i in matching:
                rules += self._headers[i][1]
            program = self._programs[memo] = HeaderProgram(rules)
        return program


class Sites:
    """The sites of one listening address."""

    __slots__ = ("_by_host", "_memo", "_targets")

    def __init__(self, sites: Sequence[tuple[str, str, Site]], targets: Targets) -> None:
        """sites: (host, path, site) for every address of every site on this listener."""
        self._targets = targets
        self._by_host: dict[str, list[tuple[str, Site]]] = {}
        self._memo: dict[str, list[tuple[str, Site]]] = {}
        for host, path, site in sites:
            self.add(host, path, site)

    def add(self, host: str, path: str, site: Site) -> None:
        """One address more, before the first request."""
        found = self._by_host.setdefault(_fallback(host), [])
        # The longest path first; of equal ones the first that came.
        insort(found, (path_key(path or "/", self._targets), site), key=lambda pair: -len(pair[0]))

    def find(self, host: str, target: Target) -> tuple[Site, str, str, bytes] | None:
        """(site, key, path, wire path) of a request; the last three without the site's own path prefix."""
        found = self._memo.get(host)
        if found is None:
            found = self._find_host(host)
        key = target.key
        for prefix, site in found:
            if prefix == "/":
                return site, key, target.path, target.wire_path
            if key.startswith(prefix):
                path, wire = cut_prefix(target, prefix, self._targets)
                return site, self._targets.key(path), path, wire
        return None

    def _find_host(self, host: str) -> list[tuple[str, Site]]:
        if len(host) > _HOST_NAME:
            # No site has such a name; looking for wildcards in 64 KB of labels would take seconds.
            return self._by_host.get("", [])
        found = self._by_host.get(host)
        labels = host.split(".")
        for i in range(len(labels)):
            if found is not None:
                break
            labels[i] = "*"
            found = self._by_host.get(".".join(labels))
        if found is None:
            found = self._by_host.get("", [])
        if len(self._memo) >= _MEMO:
            self._memo.clear()
        self._memo[host] = found
        return found


def _fallback(host: str) -> str:
    """0.0.0.0 and :: take any Host, like an address without a host (caddy1.md 8.1)."""
    return "" if host in ("0.0.0.0", "::") else host
