"""Messages: each can be sent, and nothing secret shows in a log or a debugger's list."""

from __future__ import annotations

import io
import pickle

from posthouse.adapt import adapt
from posthouse.errors import Mistake, Place
from posthouse.server.control import (
    FROM_WORKERS,
    Ended,
    Prepare,
    Refused,
    Reopened,
    StatusReport,
    Welcome,
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


def test_secrets_do_not_show() -> None:
    assert "key" not in repr(Welcome(0, 2, secret=b"the key"))
    assert "secret" not in repr(Prepare(1, adapt(":80\n", "C").config, {"key.pem": b"secret"}))


def test_what_workers_say_is_made_of_what_the_supervisor_reads() -> None:
    mistake = Mistake(Place("C", 1, 2), "no", hint="yes")
    report = {"pools": [{"name": "a", "oldest_ms": None, "weight": 1.5}]}
    said = (Refused(1, (mistake,)), StatusReport(report), Reopened("a", 1, is_done=True), Ended(3))
    named = {(one.__module__, one.__qualname__) for one in FROM_WORKERS}

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            assert (module, name) in named
            return super().find_class(module, name)

    assert Reader(io.BytesIO(pickle.dumps(said))).load() == said
