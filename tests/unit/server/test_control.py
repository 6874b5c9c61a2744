"""Messages: each can be sent, and nothing secret shows in a log or a debugger's list."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace

import pytest

from posthouse.adapt import adapt
from posthouse.config.delta import Delta, Kept
from posthouse.config.specs import SiteSpec
from posthouse.errors import Mistake, Place
from posthouse.observe.snapshot import Histogram, Rows, Snapshot
from posthouse.server.control import (
    FROM_WORKERS,
    Collect,
    Ended,
    Measured,
    Prepare,
    Refused,
    Reopened,
    StatusReport,
    Welcome,
    pieces,
)

CADDYFILE = """
:80 {
    proxy / localhost:1 localhost:2 {
        policy header X-User
        health_check /up
        header_upstream X {host}
    }
    log / access.log {
        rotate_size 5
    }
    basicauth / user secret
    rewrite /a /b
    startup true
}
"""


def test_a_configuration_survives_the_way() -> None:
    message = Prepare(3, adapt(CADDYFILE, "Caddyfile").config, {"key.pem": b"secret"})
    assert pickle.loads(pickle.dumps(message)) == message


def test_a_delta_does_too() -> None:
    config = adapt(CADDYFILE, "Caddyfile").config
    message = Prepare(3, Delta((Kept(0, 5), *config.sites), config.notices))
    assert pickle.loads(pickle.dumps(message)) == message


@pytest.mark.parametrize("count", [0, 1, 20, 21, 41])
def test_a_large_delta_comes_in_pieces(count: int) -> None:
    (site,) = adapt(CADDYFILE, "Caddyfile").config.sites
    parts: list[Kept | SiteSpec] = [Kept(0, 1)]
    parts += [replace(site, root=str(number)) for number in range(count)]
    delta = Delta(tuple(parts[:count]))
    ahead, rest = pieces(delta)
    assert (*[part for one in ahead for part in one.parts], *rest.parts) == delta.parts
    assert all(len(parts) <= 20 for parts in (*[one.parts for one in ahead], rest.parts))
    assert len(ahead) == max(0, (count - 1) // 20)


def test_secrets_do_not_show() -> None:
    assert "key" not in repr(Welcome(0, 2, secret=b"the key"))
    assert "secret" not in repr(Prepare(1, adapt(":80\n", "C").config, {"key.pem": b"secret"}))


def test_what_workers_say_is_made_of_what_the_supervisor_reads() -> None:
    mistake = Mistake(Place("C", 1, 2), "no", hint="yes")
    report = {"pools": [{"name": "a", "oldest_ms": None, "weight": 1.5}]}
    histogram = Histogram((1, 2, 0), 0.5)
    rows: dict[str, Rows] = {
        "posthouse_workers": {(): 1},
        "posthouse_exchange_seconds": {("a", "/"): histogram},
    }
    counted = (Collect(1), Measured(2, Snapshot(rows, 3, 4), is_last=True))
    said = (Refused(1, (mistake,)), StatusReport(report), Reopened("a", 1, is_done=True), Ended(3), counted)
    named = {(one.__module__, one.__qualname__) for one in FROM_WORKERS}

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            assert (module, name) in named
            return super().find_class(module, name)

    assert Reader(io.BytesIO(pickle.dumps(said))).load() == said
