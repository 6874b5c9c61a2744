from __future__ import annotations

from posthouse.config.specs import LimitsSpec, SiteSpec, TimeoutsSpec
from posthouse.directives.draft import SiteDraft
from posthouse.errors import Place


def test_nothing_said_is_every_default() -> None:
    place = Place("f", 1, 1)
    site = SiteDraft("localhost", place).finish()
    assert site == SiteSpec(addresses=(), limits=LimitsSpec(), timeouts=TimeoutsSpec())
    assert site.place == place


def test_what_was_said_is_frozen() -> None:
    draft = SiteDraft("localhost", Place("f", 1, 1))
    draft.bind = "127.0.0.1"
    draft.trusted_proxies.append("10.0.0.0/8")
    site = draft.finish()
    draft.trusted_proxies.append("10.1.0.0/16")
    assert (site.bind, site.trusted_proxies) == ("127.0.0.1", ("10.0.0.0/8",))
