"""Who asked, as the backend learns it: nobody outside `trusted_proxies` has a say in it.

Topic 2.8 of the specification of reliability and the page of headers of the compatibility rules.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from kit import Posthouse, RawClient, ScriptedBackend, Stage, request

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Client {client_ip}
        header_upstream X-Peer {remote}
    }
}
http://trusting.test:PORT {
    bind 127.0.0.1
    trusted_proxies 127.0.0.0/8 10.0.0.0/8 fd00::/8
    proxy / BACKEND {
        header_upstream X-Client {client_ip}
        header_upstream X-Peer {remote}
    }
}
http://transparent.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        transparent
    }
}
http://ruled.test:PORT {
    bind 127.0.0.1
    proxy / BACKEND {
        header_upstream X-Forwarded-For 9.9.9.9
        header_upstream -X-Forwarded-Host
        header_upstream X-Forwarded-Proto https
    }
}
"""

FORGED = [
    ("X-Forwarded-For", "1.2.3.4"),
    ("x-forwarded-for", "5.6.7.8"),
    ("X-Forwarded-Host", "evil.test"),
    ("X-FORWARDED-PROTO", "https"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Prefix", "/admin"),
    ("X-Forwarded-Server", "evil.test"),
    ("X-Forwarded-Client-Cert", "Subject=admin"),
    ("X-Forwarded-Whatever", "1"),
    ("X-Real-IP", "1.2.3.4"),
    ("x-real-ip", "5.6.7.8"),
    ("Forwarded", "for=1.2.3.4;proto=https"),
]


def test_untrusted_peer_says_nothing(stage: Stage) -> None:
    assert stage.get("/", [*FORGED, ("X-Kept", "1")], host="site.test:81").status == 200
    [asked] = stage.backend.requests
    assert asked.field("X-Forwarded-For") == b"127.0.0.1"
    assert asked.field("X-Forwarded-Host") == b"site.test:81"
    assert asked.field("X-Forwarded-Proto") == b"http"
    assert asked.field("X-Client") == asked.field("X-Peer") == b"127.0.0.1"
    assert asked.field("X-Kept") == b"1"
    ours = {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"}
    assert {name for name in asked.names() if b"forwarded" in name or name == b"x-real-ip"} == ours


@pytest.mark.parametrize("forged", FORGED, ids=lambda field: field[0])
def test_each_forged_field_alone(stage: Stage, forged: tuple[str, str]) -> None:
    assert stage.get("/", [forged]).status == 200
    name, value = forged
    assert value.encode() not in stage.backend.requests[0].all(name)


VALUES = [
    "",
    "garbage",
    "1.2.3.4, ",
    ",,,",
    '"1.2.3.4"',
    "2001:db8::1",
    "[2001:db8::1]:443",
    "unknown, _hidden",
    "1.2.3.4" + ", 10.1.2.3" * 800,
    "\xff\xfe",
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:20]))
@pytest.mark.parametrize("host", ["site.test", "trusting.test"])
def test_last_element_is_the_peer(stage: Stage, value: str, host: str) -> None:
    assert stage.get("/", [("X-Forwarded-For", value), ("X-Forwarded-For", value)], host=host).status == 200
    line = stage.backend.requests[0].field("X-Forwarded-For") or b""
    assert line.split(b",")[-1].strip() == b"127.0.0.1"
    if host == "site.test":
        assert line == b"127.0.0.1"


def test_trusted_peer_is_appended_to_in_one_line(stage: Stage) -> None:
    fields = [("X-Forwarded-For", "1.2.3.4"), ("X-A", "1"), ("x-forwarded-for", "5.6.7.8,9.9.9.9")]
    assert stage.get("/", fields, host="trusting.test").status == 200
    line = stage.backend.requests[0].field("X-Forwarded-For") or b""
    assert line.replace(b" ", b"") == b"1.2.3.4,5.6.7.8,9.9.9.9,127.0.0.1"


def test_trusted_peer_without_a_list(stage: Stage) -> None:
    assert stage.get("/", host="trusting.test").status == 200
    [asked] = stage.backend.requests
    assert asked.field("X-Forwarded-For") == b"127.0.0.1"
    assert asked.field("X-Forwarded-Host") == b"trusting.test"
    assert asked.field("X-Forwarded-Proto") == b"http"


@pytest.mark.parametrize(
    ("line", "client"),
    [
        ("1.2.3.4", b"1.2.3.4"),
        ("6.6.6.6, 1.2.3.4", b"1.2.3.4"),
        ("6.6.6.6, 1.2.3.4, 10.0.0.1", b"1.2.3.4"),
        ("6.6.6.6,1.2.3.4,10.0.0.1,\t10.9.9.9", b"1.2.3.4"),
        ("2001:db8::1", b"2001:db8::1"),
        ("2001:db8::1, fd00::5", b"2001:db8::1"),
    ],
)
def test_client_is_looked_for_from_the_right(stage: Stage, line: str, client: bytes) -> None:
    assert stage.get("/", [("X-Forwarded-For", line)], host="trusting.test").status == 200
    [asked] = stage.backend.requests
    assert (asked.field("X-Client"), asked.field("X-Peer")) == (client, b"127.0.0.1")


@pytest.mark.parametrize(
    ("host", "port"), [("transparent.test", b"80"), ("transparent.test:8443", b"8443")], ids=["plain", "port"]
)
def test_transparent(stage: Stage, host: str, port: bytes) -> None:
    assert stage.get("/", FORGED, host=host).status == 200
    [asked] = stage.backend.requests
    assert asked.field("Host") == host.encode()
    assert asked.field("X-Real-IP") == b"127.0.0.1"
    assert asked.field("X-Forwarded-For") == b"127.0.0.1"
    assert asked.field("X-Forwarded-Proto") == b"http"
    assert asked.field("X-Forwarded-Port") == port
    assert asked.field("X-Forwarded-Host") == host.encode()


def test_same_head_from_other_places(stage: Stage) -> None:
    """Nothing is remembered from one request for the next: same bytes, other peers and other sites."""
    for _ in range(2):
        for host, value in (("trusting.test", b"1.2.3.4"), ("site.test", b"127.0.0.1")):
            for port in (1, 2):
                with stage.client() as client:
                    data = request("GET", "/", [("X-Forwarded-For", "1.2.3.4")], host=host)
                    for _ in range(port):
                        assert client.exchange(data).status == 200
                asked = stage.backend.requests[-1]
                assert asked.field("X-Client") == value
                assert (asked.field("X-Forwarded-For") or b"").endswith(b"127.0.0.1")
                assert (asked.field("X-Forwarded-For") == b"127.0.0.1") == (host == "site.test")


def test_rules_come_after_ours(stage: Stage) -> None:
    assert stage.get("/", FORGED, host="ruled.test").status == 200
    [asked] = stage.backend.requests
    assert asked.field("X-Forwarded-For") == b"9.9.9.9"
    assert asked.field("X-Forwarded-Proto") == b"https"
    assert asked.all("X-Forwarded-Host") == []


def test_host_without_a_rule_is_the_backends(stage: Stage) -> None:
    assert stage.get("/", host="Site.TEST").status == 200
    assert stage.backend.requests[0].field("Host") == stage.backend.address.encode()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on loopback")
def test_ipv6_peer(start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend) -> None:
    posthouse = start_posthouse(
        "http://:PORT {\n bind ::1\n trusted_proxies ::1\n proxy / BACKEND\n}\n", BACKEND=backend.address
    )
    with RawClient(posthouse.named_port(), address="::1") as client:
        fields = [("X-Forwarded-For", "1.2.3.4")]
        assert client.exchange(request("GET", "/", fields, host="[::1]")).status == 200
    [asked] = backend.requests
    assert (asked.field("X-Forwarded-For") or b"").replace(b" ", b"") == b"1.2.3.4,::1"
    assert asked.field("X-Forwarded-Host") == b"[::1]"
