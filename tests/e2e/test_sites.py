"""Which site and which rule a request belongs to: hosts, wildcards, catch-all, path sites, FROM and `except`.

8.1 and 2.1 of what v1 does, with the changes of the stance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kit import Posthouse, RawClient, ScriptedBackend, Stage, get, request, response

CADDYFILE = """
http://exact.test:PORT, http://also.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Site exact
    }
}
http://*.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Site wildcard
    }
}
http://*.deep.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Site deep
    }
}
http://exact.deep.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Site exact-deep
    }
}
http://paths.test:PORT/foo {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Site foo
        header_upstream X-Path "{path} {rewrite_path} {uri}"
    }
}
http://paths.test:PORT/foo/longer {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Site foo-longer
    }
    proxy /api BACKEND {
        header_upstream X-Site foo-longer-api
    }
}
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Site any
        except /static /robots.txt
    }
    proxy /api BACKEND {
        header_upstream X-Site api
        except /private
    }
    proxy /api/long BACKEND {
        header_upstream X-Site api-long
    }
    proxy /static/served BACKEND {
        header_upstream X-Site served
    }
}
http://named.test:PORT2 {
    bind 127.0.0.1
    proxy / BACKEND
}
"""

HOSTS = {
    "exact.test": "exact",
    "EXACT.Test": "exact",
    "exact.test:1234": "exact",
    "also.test": "exact",
    "other.test": "wildcard",
    "Other.TEST:80": "wildcard",
    "a.b.test": "any",
    "test": "any",
    "a.deep.test": "deep",
    "exact.deep.test": "exact-deep",
    "deep.test": "wildcard",
    "a.b.deep.test": "any",
    "elsewhere.example": "any",
    "127.0.0.1": "any",
    "[::1]:80": "any",
}


def site_of(stage: Stage, target: str, host: str = "any.example") -> str | None:
    """X-Site as the backend got it; None when the answer is our own 404."""
    answer = stage.get(target, host=host)
    if answer.status == 404:
        assert stage.backend.requests == []
        return None
    assert answer.status == 200
    site = stage.backend.requests[-1].field("X-Site")
    return site.decode() if site is not None else ""


@pytest.mark.parametrize(("host", "site"), list(HOSTS.items()))
def test_hosts(stage: Stage, host: str, site: str) -> None:
    assert site_of(stage, "/", host) == site


def test_absolute_form_decides_before_host(stage: Stage) -> None:
    with stage.client() as client:
        assert client.exchange(request("GET", "http://exact.test/x?y", host="other.test")).status == 200
    asked = stage.backend.requests[0]
    assert (asked.field("X-Site"), asked.target) == (b"exact", b"/x?y")


def test_no_site(stage: Stage) -> None:
    answer = get(stage.posthouse.named_port("PORT2"), "/", host="Unknown.test:99")
    assert answer.status == 404
    assert answer.body.startswith(b"404 Site Unknown.test") and answer.body.endswith(
        b" is not served on this interface\n"
    )
    assert stage.backend.requests == []


def test_asterisk_is_ours(stage: Stage) -> None:
    """`OPTIONS *` asks the server in front: it is answered, not passed on."""
    with stage.client() as client:
        assert client.exchange(request("OPTIONS", "*")).status == 200
        assert client.is_open()
    assert stage.backend.requests == []


@pytest.mark.parametrize(
    ("target", "site", "sent"),
    [
        ("/foo", "foo", "/"),
        ("/foo/", "foo", "/"),
        ("/foo/x?q=/foo", "foo", "/x?q=/foo"),
        ("/foobar", "foo", "/bar"),
        ("/foo/longer/x", "foo-longer", "/x"),
        ("/foo/longer", "foo-longer", "/"),
        ("/foo/longer/api/x", "foo-longer-api", "/api/x"),
        ("/foo/api", "foo", "/api"),
        ("/foo/a%2Fb%20", "foo", "/a%2Fb%20"),
    ],
)
def test_path_sites(stage: Stage, target: str, site: str, sent: str) -> None:
    """The longest wins, and its path is cut off before anything else looks."""
    assert site_of(stage, target, "paths.test") == site
    assert stage.backend.requests[0].target == sent.encode()


def test_path_site_placeholders(stage: Stage) -> None:
    assert site_of(stage, "/foo/x%20y?q", "paths.test") == "foo"
    assert stage.backend.requests[0].field("X-Path") == b"/foo/x y /x y /foo/x%20y?q"


@pytest.mark.parametrize("target", ["/", "/other", "/fo"])
def test_a_host_with_path_sites_only(stage: Stage, target: str) -> None:
    """No path of that host fits: another site that fits the host takes it (here the wildcard)."""
    assert site_of(stage, target, "paths.test") in ("wildcard", None)


FROM = {
    "/": "any",
    "/x": "any",
    "/api": "api",
    "/api/x": "api",
    "/apix": "api",
    "/API/x": "api",
    "/%61pi/x": "api",
    "//api": "api",
    "/api/longer": "api-long",
    "/api/private": "any",
    "/api/private/x": "any",
    "/private": "any",
    "/static": None,
    "/static/x": None,
    "/robots.txt": None,
    "/ROBOTS.TXT": None,
    "/static/served": "served",
    "/static/served/x": "served",
}


@pytest.mark.parametrize(("target", "site"), list(FROM.items()))
def test_the_most_specific_rule(stage: Stage, target: str, site: str | None) -> None:
    """An excluded request falls to less specific rules, and is lost only after the last."""
    assert site_of(stage, target) == site
    if site is not None:
        assert stage.backend.requests[0].target == target.encode()


@pytest.fixture
def two() -> Iterator[tuple[ScriptedBackend, ScriptedBackend]]:
    with ScriptedBackend() as one, ScriptedBackend() as other:
        one.on_request = lambda asked, connection: response(200, body=b"one")
        other.on_request = lambda asked, connection: response(200, body=b"other")
        yield one, other


def test_sites_share_a_port_and_not_their_backends(
    start_posthouse: Callable[..., Posthouse], two: tuple[ScriptedBackend, ScriptedBackend]
) -> None:
    """One connection, requests for two sites in turn."""
    posthouse = start_posthouse(
        """
        http://one.test:PORT {
            bind 127.0.0.1
            proxy / ONE
        }
        http://other.test:PORT {
            bind 127.0.0.1
            proxy / OTHER
        }
        """,
        ONE=two[0].address,
        OTHER=two[1].address,
    )
    with RawClient(posthouse.named_port()) as client:
        for _ in range(10):
            assert client.exchange(request("GET", "/", host="one.test")).body == b"one"
            assert client.exchange(request("GET", "/", host="other.test")).body == b"other"
    assert [len(backend.connections) for backend in two] == [1, 1]


def test_a_file_of_one_site_without_braces(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    posthouse = start_posthouse("http://127.0.0.1:PORT\nproxy / BACKEND\n", BACKEND=backend.address)
    assert get(posthouse.named_port(), host="127.0.0.1").body == b"ok"


def test_one_line_blocks(start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend) -> None:
    """As Caddy's own page prints its longest example."""
    site = (
        "http://:PORT { \n bind 127.0.0.1\n"
        " proxy / BACKEND BACKEND BACKEND { policy round_robin header_upstream A b transparent }\n}\n"
    )
    posthouse = start_posthouse(site, BACKEND=backend.address)
    assert get(posthouse.named_port(), host="site.test").body == b"ok"
    asked = backend.requests[0]
    assert (asked.field("A"), asked.field("Host")) == (b"b", b"site.test")
