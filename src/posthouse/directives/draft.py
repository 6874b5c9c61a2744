"""A site while its directives are being read."""

from __future__ import annotations

from posthouse.config.file_specs import DEFAULT_INDEX, FilesSpec
from posthouse.config.specs import (
    AddressSpec,
    ErrorsSpec,
    GzipSpec,
    HeaderScopeSpec,
    HookSpec,
    LimitsSpec,
    LogSpec,
    MetricsSpec,
    PolicySpec,
    ProxyProtocolSpec,
    RequestIdSpec,
    RouteSpec,
    SiteSpec,
    TCPSpec,
    TimeoutsSpec,
)
from posthouse.config.step_specs import BasicAuthSpec, RedirectSpec, RewriteSpec, StatusSpec
from posthouse.errors import Notice, Place


class SiteDraft:
    """What the directives of one server block have said so far; `finish` freezes it.

    name  the first address as written, for the default names of pools
    """

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self.place = place
        self.addresses: list[AddressSpec] = []
        self.routes: list[RouteSpec] = []
        self.headers: list[HeaderScopeSpec] = []
        self.limits = LimitsSpec()
        self.timeouts = TimeoutsSpec()
        self.bind = ""
        self.tcp = TCPSpec()
        self.proxy_protocol: ProxyProtocolSpec | None = None
        self.trusted_proxies: list[str] = []
        self.request_id: RequestIdSpec | None = None
        self.logs: list[LogSpec] = []
        self.root = ""
        self.has_dotfiles = False
        self.index: list[str] = []
        self.browse: list[str] = []
        self.files_place: Place | None = None
        self.ext: list[str] = []
        self.mime: dict[str, str] = {}
        self.gzips: list[GzipSpec] = []
        self.rewrites: list[RewriteSpec] = []
        self.auths: list[BasicAuthSpec] = []
        self.redirects: list[RedirectSpec] = []
        self.statuses: list[StatusSpec] = []
        self.internals: list[str] = []
        self.hooks: list[HookSpec] = []
        self.errors: ErrorsSpec | None = None
        self.metrics: MetricsSpec | None = None
        self.is_tls_off = False
        self.notices: list[Notice] = []
        self.policies: list[PolicySpec] = []
        """Every `policy` that could be read, also of blocks with mistakes, for who judges them."""

    def finish(self) -> SiteSpec:
        return SiteSpec(
            addresses=tuple(self.addresses),
            routes=tuple(self.routes),
            headers=tuple(self.headers),
            limits=self.limits,
            timeouts=self.timeouts,
            bind=self.bind,
            tcp=self.tcp,
            proxy_protocol=self.proxy_protocol,
            root=self.root,
            files=self._files(),
            ext=tuple(self.ext),
            mime=tuple(self.mime.items()),
            trusted_proxies=tuple(self.trusted_proxies),
            request_id=self.request_id,
            logs=tuple(self.logs),
            gzips=tuple(self.gzips),
            rewrites=tuple(self.rewrites),
            auths=tuple(self.auths),
            redirects=tuple(self.redirects),
            statuses=tuple(self.statuses),
            internals=tuple(self.internals),
            hooks=tuple(self.hooks),
            errors=self.errors,
            metrics=self.metrics,
            place=self.place,
        )

    def _files(self) -> FilesSpec | None:
        """The file server. Without `root`, `index` and `browse` there is none: a site publishes no folder by itself."""
        if self.files_place is None:
            return None
        return FilesSpec(
            index=tuple(self.index) or DEFAULT_INDEX,
            browse=tuple(self.browse),
            has_dotfiles=self.has_dotfiles,
            place=self.files_place,
        )
