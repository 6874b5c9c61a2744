"""Messages: each can be sent, and nothing secret shows in a log or a debugger's list."""

from __future__ import annotations

import pickle

from posthouse.adapt import adapt
from posthouse.server.control import Prepare, Welcome

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
