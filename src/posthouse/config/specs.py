"""The frozen configuration: what a Caddyfile means, as data.

Everything here is immutable, comparable and printable, and knows where it was written. Times are seconds
(float), sizes are bytes (int); `None` means "off, no limit" for both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from posthouse.config.address_specs import HEAVIEST as HEAVIEST
from posthouse.config.address_specs import AddressSpec as AddressSpec
from posthouse.config.address_specs import EndpointSpec as EndpointSpec
from posthouse.config.address_specs import Role as Role
from posthouse.config.address_specs import Scheme as Scheme
from posthouse.config.connection_specs import ProxyProtocolSpec as ProxyProtocolSpec
from posthouse.config.connection_specs import ProxyProtocolVersion as ProxyProtocolVersion
from posthouse.config.connection_specs import TCPSpec as TCPSpec
from posthouse.config.connection_specs import UpstreamTCPSpec as UpstreamTCPSpec
from posthouse.config.failure_specs import BreakerSpec as BreakerSpec
from posthouse.config.failure_specs import CheckSpec as CheckSpec
from posthouse.config.failure_specs import HealthSpec as HealthSpec
from posthouse.config.failure_specs import PassiveSpec as PassiveSpec
from posthouse.config.failure_specs import RetryKind as RetryKind
from posthouse.config.failure_specs import RetrySpec as RetrySpec
from posthouse.config.failure_specs import StatusRange as StatusRange
from posthouse.config.file_specs import FilesSpec
from posthouse.config.log_specs import ErrorsSpec as ErrorsSpec
from posthouse.config.log_specs import LogSpec as LogSpec
from posthouse.config.log_specs import RotationSpec as RotationSpec
from posthouse.config.metrics_spec import MetricsSpec as MetricsSpec
from posthouse.config.queue_spec import DEFAULT_QUEUE, QueueSpec
from posthouse.config.step_specs import BasicAuthSpec, RedirectSpec, RewriteSpec, StatusSpec
from posthouse.errors import NOWHERE, Notice, Place

SourceKind = Literal["srv", "dns", "file"]


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A TO that stands for backends which are found while we run.

    text      as written, without credentials: what logs call it
    name      what the DNS is asked for, or the path of the file
    member    what all its members have in common; its host is `name`, its port that of `dns`; for files only
              `max_conns` and `role`
    position  how many of the pool's endpoints stand before it in the file
    """

    kind: SourceKind
    text: str
    name: str
    member: EndpointSpec
    position: int = 0
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """`policy NAME [ARG...]`; the name is resolved to a class when the generation is built."""

    name: str = "random"
    args: tuple[str, ...] = ()
    place: Place = field(default=NOWHERE, compare=False)


HeaderOp = Literal["set", "add", "remove", "replace"]


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """One header rule. `name` as written without its sign; for "remove" it may end or begin with "*".

    value    a template: placeholders are expanded per request ("" for remove); for "replace" it may name groups ($1)
    pattern  for "replace": what is replaced in the field's first value (config/patterns.py)
    """

    op: HeaderOp
    name: str
    value: str = ""
    place: Place = field(default=NOWHERE, compare=False)
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """The waits of one attempt, seconds; None = off."""

    connect: float | None = 30.0
    response: float | None = 300.0
    idle: float | None = 300.0
    tunnel: float | None = 3600.0
    exchange: float | None = None
    fallback_delay: float = 0.3
    places: tuple[tuple[str, Place], ...] = field(default=(), compare=False)
    """(property name, place) of each timer that the file sets, for the log line of a 504."""


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file that the configuration names, as written: relative to the working directory."""

    path: str
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class TLSSpec:
    """How a pool's https backends are spoken to. The files are read when the generation is built.

    ca_certificates  PEM files whose certificates are trusted instead of the system's
    client           our certificate and its key, PEM, for backends that ask; () or two files
    """

    insecure_skip_verify: bool = False
    ca_certificates: tuple[FileSpec, ...] = ()
    client: tuple[FileSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """The backends of one `proxy` block and how one is chosen.

    name            property `name`, else "SITE FROM"; repeats get "#2"
    max_conns       per backend, 0 = unlimited
    keepalive       idle connections kept per backend, 0 = no reuse
    health          None = no active checks
    slow_start      seconds that a backend which comes back takes to reach its full share, 0 = off
    hash_balance    percent of the average load that a hash policy gives a backend at most, 0 = off
    sources         where more backends come from while we run
    proxy_protocol  the version in which each connection begins with the client it is for, None = it does not
    """

    name: str
    endpoints: tuple[EndpointSpec, ...]
    policy: PolicySpec = PolicySpec()
    passive: PassiveSpec = field(default_factory=PassiveSpec)
    retry: RetrySpec = field(default_factory=RetrySpec)
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    max_conns: int = 0
    keepalive: int = 64
    tls: TLSSpec = TLSSpec()
    health: HealthSpec | None = None
    sources: tuple[SourceSpec, ...] = ()
    slow_start: float = 0.0
    hash_balance: int = 0
    queue: QueueSpec = DEFAULT_QUEUE
    tcp: UpstreamTCPSpec = field(default_factory=UpstreamTCPSpec)
    proxy_protocol: ProxyProtocolVersion | None = None


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One `proxy` block.

    excepts  already joined to `base` (FROM)
    without  prefix cut from the path, "" = none
    """

    base: str
    pool: PoolSpec
    excepts: tuple[str, ...] = ()
    without: str = ""
    header_upstream: tuple[HeaderRule, ...] = ()
    header_downstream: tuple[HeaderRule, ...] = ()
    is_transparent: bool = False
    """Preset `transparent`: Host, X-Real-IP, X-Forwarded-Proto, -Port, -Host (its rules are not in header_upstream)."""
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class HeaderScopeSpec:
    """One `header PATH ...` directive: rules for responses whose request path matches."""

    path: str
    rules: tuple[HeaderRule, ...]
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """`limits`; `given` names those that the file sets (header, fields, connections)."""

    header: int = 64 * 1024
    fields: int = 128
    body: tuple[tuple[str, int], ...] = ()
    """(path prefix, bytes): the longest matching prefix wins."""
    connections: int | None = None
    """Per worker; None = half of the descriptors."""
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TimeoutsSpec:
    """`timeouts` of the client side, seconds, None = off; `given` names those that the file sets."""

    header: float | None = 10.0
    body: float | None = 30.0
    idle: float | None = 300.0
    read: float | None = None
    write: float | None = None
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RequestIdSpec:
    """`request_id [FIELD]`: every request gets a UUID, taken from the request field `source` if that holds one."""

    place: Place = field(default=NOWHERE, compare=False)
    source: str = ""


GZIP_EXTENSIONS = (
    *("", ".txt", ".htm", ".html", ".css", ".php", ".js", ".json", ".md", ".mdown", ".xml", ".svg"),
    *(".go", ".cgi", ".py", ".pl", ".aspx", ".asp"),
)
"""v1's."""


@dataclass(frozen=True, slots=True)
class GzipSpec:
    """One `gzip`: which responses may be coded, and how.

    extensions  of request paths, each "" or ".EXT", or "*" for any
    excepts     path prefixes that are left alone (`not`)
    level       1 (quick) to 9 (small)
    min_length  bytes; shorter bodies of known length are left alone
    """

    extensions: tuple[str, ...] = GZIP_EXTENSIONS
    excepts: tuple[str, ...] = ()
    level: int = 4
    min_length: int = 512
    place: Place = field(default=NOWHERE, compare=False)


HookEvent = Literal["startup", "shutdown", "certrenew"]


@dataclass(frozen=True, slots=True)
class HookSpec:
    """`on EVENT COMMAND [ARGS]`: a program with its arguments, run without a shell.

    is_background  started and left to itself; `place` is that of the program
    """

    event: HookEvent
    command: tuple[str, ...]
    is_background: bool = False
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """One server block."""

    addresses: tuple[AddressSpec, ...]
    routes: tuple[RouteSpec, ...] = ()
    headers: tuple[HeaderScopeSpec, ...] = ()
    limits: LimitsSpec = LimitsSpec()
    timeouts: TimeoutsSpec = TimeoutsSpec()
    bind: str = ""
    tcp: TCPSpec = field(default_factory=TCPSpec)
    proxy_protocol: ProxyProtocolSpec | None = None
    root: str = ""
    """Folder of the static file server, "" = none was given."""
    files: FilesSpec | None = None
    """The static file server; None: there is none."""
    ext: tuple[str, ...] = ()
    """What is tried behind paths without an ending, in this order."""
    mime: tuple[tuple[str, str], ...] = ()
    """(ending with its dot, lower case; media type)"""
    trusted_proxies: tuple[str, ...] = ()
    """IP networks, CIDR, normalised."""
    request_id: RequestIdSpec | None = None
    logs: tuple[LogSpec, ...] = ()
    gzips: tuple[GzipSpec, ...] = ()
    """In the order of the file: the first that takes a path acts on it."""
    rewrites: tuple[RewriteSpec, ...] = ()
    auths: tuple[BasicAuthSpec, ...] = ()
    redirects: tuple[RedirectSpec, ...] = ()
    statuses: tuple[StatusSpec, ...] = ()
    internals: tuple[str, ...] = ()
    """Paths that only backends can send requests to (`internal`)."""
    hooks: tuple[HookSpec, ...] = ()
    errors: ErrorsSpec | None = None
    metrics: MetricsSpec | None = None
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration: the sites in the order of the file, and the warnings that came up."""

    sites: tuple[SiteSpec, ...]
    notices: tuple[Notice, ...] = field(default=(), compare=False)
