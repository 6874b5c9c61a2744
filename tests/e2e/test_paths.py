"""Matching and forwarding agree on the path: nobody walks around `except`, FROM or `without`.

Rule 13 and topic 2.9 of the specification of reliability.
"""

from __future__ import annotations

import posixpath
import random
import re
from urllib.parse import unquote_to_bytes

import pytest

from kit import Stage, request

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        except /admin
    }
}
http://routes.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Route root
    }
    proxy /api BACKEND {
        header_upstream X-Route api
    }
    proxy /api/v2/ BACKEND {
        header_upstream X-Route v2
    }
    proxy /api/v2/open BACKEND {
        except /secret
        header_upstream X-Route open
    }
}
http://without.test:PORT {
    bind 127.0.0.1
    proxy /app BACKEND {
        without /app
    }
    proxy /based BACKEND/base?k=v {
        without /based
    }
}
"""

FORBIDDEN = [
    "/admin",
    "/admin/",
    "/admin/x",
    "/admin?x",
    "/admin?",
    "/adminx",
    "/admin;x",
    "/admin.html",
    "//admin",
    "///admin//",
    "/./admin",
    "/././admin",
    "/x/../admin",
    "/x/y/../../admin",
    "/x/./../admin",
    "/x/..//admin",
    "/../admin",
    "/../../admin/x",
    "/..//admin",
    "/admin/../admin",
    "/admin/./x",
    "/ADMIN",
    "/aDmIn/x",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/%41DMIN",
    "/admi%6E",
    "/admin%2fx",
    "/admin%2Fx",
    "/%2fadmin",
    "/%2F%2fadmin",
    "//%61dmin",
    "/%2e/admin",
    "/%2E/%61dmin",
    "/x/%2e%2e/admin",
    "/x/%2E%2e/admin",
    "/x/.%2e/admin",
    "/x/%2e./admin",
    "/x%2f..%2fadmin",
    "/x%2f%2e%2e%2fadmin",
    "/.%2fadmin",
    "/%2e%2fadmin",
    "/%2e%2e%2fadmin",
    "http://site.test/admin",
    "http://site.test//admin",
    "http://other.test/x/../admin",
    "HTTP://site.test/%61dmin",
]


@pytest.mark.parametrize("target", FORBIDDEN)
def test_forbidden_prefix_is_never_reached(stage: Stage, target: str) -> None:
    with stage.client() as client:
        answer = client.exchange(request("GET", target))
    assert answer.status in (400, 404)
    assert stage.backend.received() == b""


HARMLESS = [
    "/",
    "/x",
    "/x/",
    "/x//y",
    "//x",
    "/x//",
    "/a%2Fb",
    "/a%2fb",
    "/%2561dmin",
    "/%252e%252e/admin",
    "/a%25",
    "/a;b=c",
    "/a;/b",
    "/a?",
    "/a?x=/../admin",
    "/a?x=%2e%2e&&y",
    "/a??",
    "/a%20b",
    "/%7Euser/~user",
    "/a...b/..c/c../.d",
    "/.well-known/x",
    "/...",
    "/xadmin",
    "/x/admin",
    "/a!$&'()*+,=:@-._~",
    "/caf%C3%A9",
    "/a%3Fb%23c",
    "/%c0%ae%c0%ae/x",
    "/a[b]",
]


@pytest.mark.parametrize("target", HARMLESS)
def test_harmless_path_arrives_unchanged(stage: Stage, target: str) -> None:
    with stage.client() as client:
        assert client.exchange(request("GET", target)).status == 200
    assert stage.backend.requests[0].target == target.encode()
    assert stage.backend.violations == []


RESOLVED = {
    "/a/./b": {"/a/b"},
    "/a/../b": {"/b"},
    "/a/../b?q=../x": {"/b?q=../x"},
    "/a/%2e%2e/b": {"/b"},
    "/a/%2E/b": {"/a/b"},
    "/../x": {"/x"},
    "/../../x/": {"/x/"},
    "/..": {"/"},
    "/.": {"/"},
    "/%2e%2e": {"/"},
    "/a/..": {"/"},
    "/a/../": {"/"},
    "/a/b/.": {"/a/b/", "/a/b"},
    "/a/b/..": {"/a/", "/a"},
    "/a%2F../b": {"/b"},
    "/a%2f..%2fb": {"/b"},
    "/x%20y/./z": {"/x%20y/z"},
    "/x/%41%2Fc/../y": {"/x/y", "/x/%41/y", "/x/A/y"},
}


@pytest.mark.parametrize(("target", "expected"), RESOLVED.items(), ids=list(RESOLVED))
def test_dot_segments_are_sent_resolved(stage: Stage, target: str, expected: set[str]) -> None:
    with stage.client() as client:
        assert client.exchange(request("GET", target)).status == 200
    assert stage.backend.requests[0].target.decode() in expected


def readings(target: bytes) -> set[bytes]:
    """What liberal backends could take the path for: decoded or not, merged before or after resolving."""
    path = target.partition(b"?")[0]
    found = set()
    for text in (path, unquote_to_bytes(path)):
        found.add(posixpath.normpath(re.sub(rb"/+", b"/", text)))
        kept: list[bytes] = []
        for segment in text.split(b"/")[1:]:
            if segment == b"..":
                kept = kept[:-1]
            elif segment != b".":
                kept.append(segment)
        found.add(re.sub(rb"/+", b"/", b"/" + b"/".join(kept)))
    return {text.lower() for text in found}


def test_random_walks_end_nowhere_forbidden(stage: Stage) -> None:
    """300 paths of nasty pieces; however a backend reads what it gets, it reads nothing below /admin."""
    chance = random.Random(11)
    pieces = [
        "/",
        "/",
        "//",
        "/.",
        "/..",
        "/%2e%2e",
        "/.%2e",
        "%2f",
        "%2F..",
        "/x",
        "/x",
        "x",
        "/admin",
        "admin",
        ";",
    ]
    pieces += ["/%61dmin", "/ADMIN", "%2fadmin", "/..;", "/...", "%2e", "."]
    with stage.client() as client:
        for _ in range(300):
            target = "/" + "".join(chance.choices(pieces, k=chance.randint(1, 7)))
            answer = client.exchange(request("GET", target))
            assert answer.status in (200, 404), target
    assert len(stage.backend.requests) > 50
    for asked in stage.backend.requests:
        assert not any(text.startswith(b"/admin") for text in readings(asked.target)), asked.target


ROUTES = {
    "/": b"root",
    "/x/api": b"root",
    "/ap": b"root",
    "/api": b"api",
    "/api/x": b"api",
    "/apix": b"api",
    "/API/x": b"api",
    "/api%2Fx": b"api",
    "/%61pi": b"api",
    "//api/x": b"api",
    "/x/../api": b"api",
    "/api/../x": b"root",
    "/api/v2": b"api",
    "/api/v2/": b"v2",
    "/api/v2/x": b"v2",
    "/api//v2//x": b"v2",
    "/api%2fv2%2fx": b"v2",
    "/api/v2/../x": b"api",
    "/api/v2/open": b"open",
    "/api/v2/open/secret": b"v2",
    "/api/v2/open//SECRET": b"v2",
    "/api/v2/open/x/../%73ecret": b"v2",
    "/api/v2/open/secret/../public": b"open",
}


@pytest.mark.parametrize(("target", "route"), ROUTES.items(), ids=list(ROUTES))
def test_the_longest_match_takes_it(stage: Stage, target: str, route: bytes) -> None:
    assert stage.get(target, host="routes.test").status == 200
    assert stage.backend.requests[0].field("X-Route") == route


CUT = {
    "/app": {"/"},
    "/app/": {"/"},
    "/app?q": {"/?q"},
    "/app/x": {"/x"},
    "/app/x%2Fy?q=%20": {"/x%2Fy?q=%20"},
    "/APP/x": {"/x"},
    "/%61pp/x": {"/x"},
    "/appx": {"/x"},
    "/app//x": {"/x"},
    "/app///x//y": {"/x//y"},
    "//app/x": {"/x"},
    "/y/../app/x": {"/x"},
    "/app/../app/x": {"/x"},
    "/app/app/x": {"/app/x"},
    "/app%2Fx": {"/x", "/%2Fx"},
    "/based": {"/base/?k=v", "/base?k=v"},
    "/based/x?q=1": {"/base/x?k=v&q=1"},
    "/based//x": {"/base/x?k=v", "/base//x?k=v"},
    "/based/%2fx": {"/base/x?k=v", "/base/%2fx?k=v"},
    "/based/a/../b": {"/base/b?k=v"},
}


@pytest.mark.parametrize(("target", "expected"), CUT.items(), ids=list(CUT))
def test_without_cuts_from_the_same_view(stage: Stage, target: str, expected: set[str]) -> None:
    assert stage.get(target, host="without.test").status == 200
    assert stage.backend.requests[0].target.decode() in expected


@pytest.mark.parametrize("target", ["/app/../x", "/x", "/app/../../based2/../", "/%2e%2e/"])
def test_nothing_leaves_the_base(stage: Stage, target: str) -> None:
    """Paths that resolve to somewhere else belong to somebody else."""
    assert stage.get(target, host="without.test").status == 404
    assert stage.backend.requests == []


@pytest.mark.parametrize(
    "target",
    ["/based/../../x", "/based/%2e%2e/%2e%2e/etc/passwd", "/based/..%2f..%2fetc", "/based%2f..%2f.."],
)
def test_base_path_of_a_backend_is_a_floor(stage: Stage, target: str) -> None:
    assert stage.get(target, host="without.test").status in (404, 200)
    for asked in stage.backend.requests:
        assert all(text.startswith(b"/base") for text in readings(asked.target))


@pytest.mark.parametrize(
    "target", ["/%00", "/x%00/admin", "/admin%00", "/a#b", "/%", "/%2", "/%zz", "/a%%41", "/\x7f"]
)
def test_malformed_path_is_refused(stage: Stage, target: str) -> None:
    stage.assert_refused(request("GET", target))
