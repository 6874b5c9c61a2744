"""The table of directives: v1's order, and a refusal for what is not read."""

from __future__ import annotations

import re

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.directives import DIRECTIVES, FOREIGN, Never
from posthouse.directives.proxy import PROPERTIES

V1 = [
    *("root", "index", "bind", "limits", "timeouts", "tls", "startup", "shutdown", "on", "request_id", "log"),
    *(
        "rewrite",
        "ext",
        "gzip",
        "header",
        "errors",
        "basicauth",
        "redir",
        "status",
        "mime",
        "internal",
        "pprof",
    ),
    *("expvar", "push", "templates", "proxy", "fastcgi", "websocket", "markdown", "browse"),
]


def test_the_order_is_that_of_v1() -> None:
    assert [name for name in DIRECTIVES if name in V1] == V1
    assert set(DIRECTIVES) - set(V1) == {"trusted_proxies", "tcp", "proxy_protocol", "metrics"}


@pytest.mark.parametrize("name", [name for name, entry in DIRECTIVES.items() if isinstance(entry, Never)])
def test_what_will_never_be_says_why_and_what_instead(name: str) -> None:
    with pytest.raises(AdaptError) as raised:
        adapt(f"localhost\n{name} a b", "f", env={})
    (mistake,) = raised.value.mistakes
    assert mistake.message.startswith(f"`{name}` is not part of Posthouse: ")
    assert mistake.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("prox", "did you mean `proxy`?"),
        ("Proxy", "did you mean `proxy`?"),
        ("trusted-proxies", "did you mean `trusted_proxies`?"),
        ("reverse_proxy", "that is Caddy 2's; here it is `proxy FROM TO...`"),
        ("encode", "that is Caddy 2's; here it is `gzip`"),
        ("upstream", "it is a property, inside the block of `proxy`"),
        ("xyzzy", ""),
        ("b.test:80", "if it is the address of another site, each site needs braces: `ADDRESS { ... }`"),
    ],
)
def test_an_unknown_name_gets_the_nearest_known(name: str, hint: str) -> None:
    with pytest.raises(AdaptError) as raised:
        adapt(f"localhost\n{name} a b", "f", env={})
    (mistake,) = raised.value.mistakes
    assert (mistake.message, mistake.hint) == (f"unknown directive `{name}`", hint)


@pytest.mark.parametrize("name", FOREIGN)
def test_what_comes_from_elsewhere_is_led_to_what_we_have(name: str) -> None:
    assert name not in DIRECTIVES
    with pytest.raises(AdaptError) as raised:
        adapt(f"localhost {{\n{name} a {{\n}}\n}}", "f", env={})
    assert [one.hint for one in raised.value.mistakes] == [FOREIGN[name]]
    named = re.findall(r"`([a-z_]+)", FOREIGN[name])
    known = {*DIRECTIVES, *PROPERTIES}
    assert set(named) <= known, "a hint names nothing that we lack"
