"""A site while its directives are being read."""

from __future__ import annotations

from posthouse.config.specs import (
    AddressSpec,
    GzipSpec,
    HeaderScopeSpec,
    HookSpec,
    LimitsSpec,
    LogSpec,
    PolicySpec,
    RequestIdSpec,
    RouteSpec,
    SiteSpec,
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
        self.trusted_proxies: list[str] = []
        self.request_id: RequestIdSpec | None = None
        self.logs: list[LogSpec] = []
        self.gzips: list[GzipSpec] = []
        self.rewrites: list[RewriteSpec] = []
        self.auths: list[BasicAuthSpec] = []
        self.redirects: list[RedirectSpec] = []
        self.statuses: list[StatusSpec] = []
        self.internals: list[str] = []
        self.hooks: list[HookSpec] = []
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
            place=self.place,
        )
