"""The order of directives in a file means nothing: only lines of the same directive have an order among them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posthouse.adapt import adapt
from posthouse.directives import DIRECTIVES, Never

SAMPLES = {
    "root": "root .",
    "index": "index home.html",
    "bind": "bind 127.0.0.1",
    "limits": "limits { body /a 1KB }\nlimits 2KB",
    "timeouts": "timeouts 1m",
    "tcp": "tcp { backlog 5 }\ntcp { nodelay off }",
    "proxy_protocol": "proxy_protocol 10.0.0.0/8\nproxy_protocol ::1",
    "tls": "tls off",
    "startup": "startup true",
    "shutdown": "shutdown true",
    "on": "on startup true",
    "trusted_proxies": "trusted_proxies 10.0.0.0/8\ntrusted_proxies ::1",
    "request_id": "request_id X-Id",
    "log": "log / a.log\nlog /b b.log {combined}",
    "rewrite": "rewrite /a /b\nrewrite /c /d",
    "ext": "ext .html .txt",
    "gzip": "gzip { not /raw }\ngzip { ext * level 9 }",
    "header": "header / A b\nheader /c { -D }",
    "errors": "errors e.log",
    "basicauth": "basicauth /secret user password",
    "redir": "redir /from /to 301\nredir /other /place",
    "status": "status 404 /gone",
    "mime": "mime .x text/x",
    "internal": "internal /inner",
    "metrics": "metrics /numbers { health }",
    "push": "push",
    "proxy": "proxy /api 127.0.0.1:1 {\n max_fails 2\n}\nproxy / 127.0.0.1:2",
    "browse": "browse /list",
}
NAMES = list(SAMPLES)


def read(names: list[str]) -> object:
    lines = "\n".join(SAMPLES[name] for name in names)
    return adapt(f"http://a.test:8080 {{\n{lines}\n}}\n", "Caddyfile", env={}).config.sites


def test_every_directive_is_in_it() -> None:
    assert set(SAMPLES) == {name for name, entry in DIRECTIVES.items() if not isinstance(entry, Never)}


@given(st.permutations(NAMES))
def test_any_order_means_the_same(names: list[str]) -> None:
    assert read(names) == read(NAMES)
