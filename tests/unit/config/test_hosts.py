from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.hosts import is_ip, is_public_name, mend_scheme, normal_name, normal_v6, split_port


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("localhost", "localhost"),
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("my_app-1", "my_app-1"),
        ("10.0.0.1", "10.0.0.1"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_name_has_one_normal_form(text: str, normal: str) -> None:
    assert normal_name(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a/b",
        "a%2e",
        "10.0.0",
        "1",
        "256.0.0.1",
        "a" * 64,
        "a." * 130 + "a",
        "é" * 80,
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        normal_name(text)


@given(st.text(max_size=40))
def test_normal_names_are_normal(text: str) -> None:
    try:
        normal = normal_name(text)
    except ValueError:
        return
    assert normal.isascii() and normal == normal.lower() == normal_name(normal)


def test_v6_addresses_are_shortened_and_keep_their_zone() -> None:
    assert normal_v6("0:0::0001") == "::1"
    assert normal_v6("FE80::1%eth0") == "fe80::1%eth0"
    with pytest.raises(ValueError):
        normal_v6("127.0.0.1")


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("example.com", True),
        ("*.example.com", True),
        ("localhost", False),
        ("*.localhost", False),
        ("app.localhost", False),
        ("shop.test", False),
        ("backend", False),
        ("*.lan", False),
        ("10.0.0.1", False),
        ("::1", False),
        ("", False),
    ],
)
def test_public_names(host: str, answer: bool) -> None:
    assert is_public_name(host) is answer


def test_ip_addresses() -> None:
    assert is_ip("10.0.0.1") and is_ip("::1")
    assert not is_ip("a1.example") and not is_ip("")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("a", None)),
        ("a:", ("a", "")),
        ("a:80", ("a", "80")),
        (":80", ("", "80")),
        ("[::1]", ("[::1]", None)),
        ("[::1]:80", ("[::1]", "80")),
        ("", ("", None)),
    ],
)
def test_the_port_is_split_off(text: str, parts: tuple[str, str | None]) -> None:
    assert split_port(text) == parts


@pytest.mark.parametrize("text", ["::1", "a:b:c", "[::1", "[::1]80"])
def test_colons_and_brackets_must_fit(text: str) -> None:
    with pytest.raises(ValueError):
        split_port(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("http//host:80/x", "http://host:80/x"),
        ("HTTPS:/host", "https://host"),
        ("http;//host", "http://host"),
        ("http///host", "http://host"),
        ("http//user:secret@host", "http://host"),
        ("http://host", ""),
        ("http/x", ""),
        ("http:80", ""),
        ("httpd//x", ""),
        ("http//", ""),
        ("http", ""),
    ],
)
def test_a_garbled_scheme_is_mended(text: str, meant: str) -> None:
    assert mend_scheme(text) == meant
