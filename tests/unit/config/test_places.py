"""Moving a spec moves each place in it and nothing else."""

from __future__ import annotations

from dataclasses import replace

from posthouse.adapt import adapt
from posthouse.config.dump import dump
from posthouse.config.places import moved
from posthouse.config.specs import Config
from posthouse.errors import Place

TEXT = (
    "a.test:80, b.test:80 {\n log / stdout { except /x }\n proxy / srv://a https://b {\n  response_timeout 5s\n"
    "  ca_certificates f\n  policy header X-A\n  header_upstream A b\n  health_check /h\n }\n basicauth / u p\n"
    " rewrite {\n  regexp /x\n  to /y\n }\n errors stderr {\n  404 x\n }\n gzip\n limits { body /a 5 }\n}\n"
)


def down(place: Place) -> Place:
    return replace(place, line=place.line + 5)


def test_every_place_is_moved() -> None:
    (site,) = adapt(TEXT, "f", env={}).config.sites
    (lower,) = adapt("#\n" * 5 + TEXT, "f", env={}).config.sites
    assert moved(site, down) == site
    assert repr(moved(site, down)) == repr(lower) != repr(site)
    assert dump(Config((moved(site, down),))) == dump(Config((lower,)))


def test_what_has_no_places_is_the_same_object() -> None:
    (site,) = adapt(TEXT, "f", env={}).config.sites
    assert moved(site, down).limits is site.limits
    assert moved(site, down).routes[0].pool.health is site.routes[0].pool.health
