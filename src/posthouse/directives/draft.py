"""A site while its directives are being read."""

from __future__ import annotations

from posthouse.config.specs import (
    AddressSpec,
    GzipSpec,
    HeaderScopeSpec,
    LimitsSpec,
    LogSpec,
    RequestIdSpec,
    RouteSpec,
    SiteSpec,
    TimeoutsSpec,
)
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
        self.is_tls_off = False
        self.notices: list[Notice] = []

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
            place=self.place,
        )
