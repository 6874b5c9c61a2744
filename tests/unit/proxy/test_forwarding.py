"""Forwarding fields: what backends are told about the client, from peers that are believed and from others."""

from __future__ import annotations

import pytest

from posthouse.protocol.fields import Field
from posthouse.proxy.forwarding import count_passages, server_port
from unit.proxy.playbook import Play
from unit.proxy.samples import route, rules

PEER = "192.0.2.7"
NAMES = (b"x-forwarded-", b"x-real-ip", b"forwarded", b"via")


def sent(
    *came: str, trusted: bool = False, transparent: bool = False, rule: tuple[str, ...] = (), peer: str = PEER
) -> list[str]:
    """The forwarding lines that a backend gets."""
    play = Play(
        route("a", is_transparent=transparent, header_upstream=rules(*rule)),
        trusted_proxies=(f"{PEER}/32", "10.0.0.0/8", "2001:db8::/32") if trusted else (),
    )
    play.client.peer = peer
    play.request("GET / HTTP/1.1", "Host: x.test:8080", *came)
    return [line.decode("latin-1") for line in play.connect().fields if line.lower().startswith(NAMES)]


OURS = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: x.test:8080"]
VIA = "Via: 1.1 posthouse"
FORGED = (
    "X-Forwarded-For: 1.1.1.1",
    "X-Forwarded-For: 2.2.2.2",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil",
    "X-Forwarded-Prefix: /evil",
    "X-Real-IP: 1.1.1.1",
    "Forwarded: for=1.1.1.1",
)


def test_always() -> None:
    assert sent() == [*OURS, VIA]


def test_what_a_stranger_claims_is_replaced() -> None:
    assert sent(*FORGED) == [*OURS, VIA]


@pytest.mark.parametrize("claim", ["", ",", "garbage\xff", "1.1.1.1, " * 900, "::1", "unknown, _hidden"])
def test_whatever_a_stranger_claims(claim: str) -> None:
    assert sent(f"X-Forwarded-For: {claim}") == [*OURS, VIA]


def test_a_trusted_peer_is_appended_to_and_the_rest_passes() -> None:
    assert sent(*FORGED, trusted=True) == [
        "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil",
        "X-Forwarded-Prefix: /evil",
        "X-Real-IP: 1.1.1.1",
        "Forwarded: for=1.1.1.1",
        VIA,
    ]


def test_what_a_trusted_peer_leaves_out_is_written() -> None:
    assert sent(trusted=True) == [*OURS, VIA]
    assert sent("X-Forwarded-For:", trusted=True) == [*OURS, VIA]


@pytest.mark.parametrize("claim", ["garbage\xff", "1.1.1.1, " * 900 + "2.2.2.2", "::1", ","])
def test_the_last_element_is_always_the_peer(claim: str) -> None:
    first, *_ = sent(f"X-Forwarded-For: {claim}", trusted=True)
    assert first.startswith("X-Forwarded-For: ") and first.endswith(", 192.0.2.7")


def test_trust_is_the_peers() -> None:
    assert sent(*FORGED, trusted=True, peer="192.0.2.8")[0] == "X-Forwarded-For: 192.0.2.8"
    assert sent(*FORGED, trusted=True, peer="2001:db8::1")[0].endswith(", 2001:db8::1")


def test_what_connection_names_does_not_take_ours_away() -> None:
    names = "Connection: X-Forwarded-For, X-Forwarded-Host, Via, Host, close"
    assert sent(names) == [*OURS, VIA]
    assert sent(names, trusted=True) == [*OURS, VIA]


# -- transparent ---------------------------------------------------------------------------------------------------


def test_transparent_says_the_same_twice_more() -> None:
    assert sent(*FORGED, transparent=True) == [*OURS, "X-Real-IP: 192.0.2.7", "X-Forwarded-Port: 8080", VIA]


def test_transparent_behind_a_trusted_peer_looks_through_it() -> None:
    chain = "X-Forwarded-For: 9.9.9.9, 203.0.113.5, 10.1.2.3"
    assert sent(chain, trusted=True, transparent=True) == [
        "X-Forwarded-For: 9.9.9.9, 203.0.113.5, 10.1.2.3, 192.0.2.7",
        *OURS[1:],
        "X-Real-IP: 203.0.113.5",
        "X-Forwarded-Port: 8080",
        VIA,
    ]
    kept = sent("X-Real-IP: 1.1.1.1", "X-Forwarded-Port: 9", trusted=True, transparent=True)
    assert "X-Real-IP: 1.1.1.1" in kept and "X-Forwarded-Port: 9" in kept and len(kept) == 6


@pytest.mark.parametrize(
    ("host", "scheme", "port"),
    [
        ("x", "http", b"80"),
        ("x", "https", b"443"),
        ("x:8080", "https", b"8080"),
        ("x:", "http", b"80"),
        ("[::1]", "http", b"80"),
        ("[::1]:81", "http", b"81"),
    ],
)
def test_the_port_is_the_one_the_client_asked_for(host: str, scheme: str, port: bytes) -> None:
    """caddy1.md 5.3: not the listener's port."""
    play = Play(route("a"))
    play.client.scheme = scheme
    assert server_port(play.request("GET / HTTP/1.1", f"Host: {host}")) == port


def test_without_a_host_there_is_none_to_tell() -> None:
    for transparent in (False, True):
        play = Play(route("a", is_transparent=transparent))
        play.request("GET / HTTP/1.0")
        fields = play.connect().fields
        assert b"Host: a" in fields
        assert not any(line.startswith(b"X-Forwarded-Host") for line in fields)


# -- rules, and Via ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(
    ("rule", "there"),
    [
        ("X-Forwarded-For mine", ["X-Forwarded-For: mine"]),
        ("-X-Forwarded-For", []),
        ("X-Real-IP mine", ["X-Real-IP: mine"]),
        ("-X-Real-IP", []),
        ("X-Forwarded-Host {>Nothing}", []),
        ("-Forwarded", []),
        ("-Via", []),
        ("-X-Forwarded-*", []),
    ],
)
def test_rules_have_the_last_word(rule: str, there: list[str], trusted: bool, transparent: bool) -> None:
    name = rule.lstrip("+-").split()[0].lower().rstrip("*")
    lines = sent(*FORGED, "Via: 1.0 other", trusted=trusted, transparent=transparent, rule=(rule,))
    assert [line for line in lines if line.lower().startswith(name)] == there


def test_a_rule_may_add_a_line_to_ours() -> None:
    assert sent(rule=("+X-Forwarded-For more",)) == ["X-Forwarded-For: more", *OURS, VIA]


def test_via_is_appended_to() -> None:
    assert sent("Via: 1.0 a, 1.1 b", "Via: 2.0 c") == [*OURS, "Via: 1.0 a, 1.1 b", "Via: 2.0 c", VIA]


@pytest.mark.parametrize(
    ("via", "count"),
    [
        ([], 0),
        ([b"1.1 posthouse"], 1),
        ([b"1.0 a, 1.1 Posthouse (x),1.1 b", b"\t1.1 posthouse"], 2),
        ([b"1.0 posthouse, 1.1 other"], 0),
        ([b",, ,"], 0),
    ],
)
def test_passages_are_counted_over_all_lines(via: list[bytes], count: int) -> None:
    assert count_passages([Field(b"Via", value) for value in via]) == count
