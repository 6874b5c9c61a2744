from __future__ import annotations

import pytest

from posthouse.caddyfile.lexer import lex
from posthouse.config.specs import PoolSpec, RouteSpec, UpstreamTimeouts
from posthouse.directives.route_draft import RouteDraft, join_paths
from posthouse.errors import Place


def test_nothing_said_is_every_default() -> None:
    place = Place("f", 1, 1)
    draft = RouteDraft("localhost", place)
    draft.base = "/api"
    assert draft.finish() == RouteSpec("/api", PoolSpec("localhost /api", ()))
    assert draft.finish().place == place


def test_the_last_timer_of_a_name_keeps_its_place() -> None:
    draft = RouteDraft("localhost", Place("f", 1, 1))
    first, second = lex("timeout\ntimeout", "f")
    draft.set_timeouts(first, UpstreamTimeouts(connect=1.0))
    draft.set_timeouts(second, UpstreamTimeouts(connect=2.0))
    timeouts = draft.finish().pool.timeouts
    assert (timeouts.connect, timeouts.places) == (2.0, (("timeout", second.place),))


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        ("/", "/static", "/static"),
        ("/proxy", "/download", "/proxy/download"),
        ("/proxy/", "download", "/proxy/download"),
        ("/", "/static/", "/static/"),
        ("/a", "/../b", "/b"),
        ("/a", "//b/./c", "/a/b/c"),
        ("/", "/", "/"),
        ("/a", "/", "/a/"),
        ("/", "/../..", "/"),
    ],
)
def test_excepts_are_joined_to_from(base: str, path: str, joined: str) -> None:
    assert join_paths(base, path) == joined
