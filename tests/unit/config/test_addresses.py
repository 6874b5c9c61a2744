from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.addresses import Defaults, is_implicitly_https, parse_address
from posthouse.errors import ConfigError, Mistake, Place

HERE = Place("Caddyfile", 3, 5)


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("localhost", "localhost", 2015, ""),
        (":8080", "", 8080, ""),
        ("", "", 2015, ""),
        ("localhost:0", "localhost", 0, ""),
        ("http://Example.com", "example.com", 80, ""),
        ("HTTP://example.com:8080/API", "example.com", 8080, "/API"),
        ("example.com:http", "example.com", 80, ""),
        ("example.com:80", "example.com", 80, ""),
        ("example.com/blog/", "example.com", 2015, "/blog/"),
        ("/api", "", 2015, "/api"),
        ("*.example.com:81", "*.example.com", 81, ""),
        ("*.*.example.com", "*.*.example.com", 2015, ""),
        ("0.0.0.0:81", "", 81, ""),
        ("[::]:81", "", 81, ""),
        ("[::1]:81", "::1", 81, ""),
        ("[0:0::1]", "::1", 2015, ""),
        ("127.0.0.1:81", "127.0.0.1", 81, ""),
        ("bücher.example:81", "xn--bcher-kva.example", 81, ""),
    ],
)
def test_forms(text: str, host: str, port: int, path: str) -> None:
    address = parse_address(text, HERE)
    assert (address.text, address.scheme, address.host, address.port, address.path) == (
        text,
        "http",
        host,
        port,
        path,
    )
    assert address.place == HERE


def mistake_of(text: str) -> Mistake:
    with pytest.raises(ConfigError) as raised:
        parse_address(text, HERE)
    (mistake,) = raised.value.mistakes
    assert mistake.place == HERE and mistake.width >= 1
    return mistake


@pytest.mark.parametrize(
    "text", ["https://example.com", "HTTPS://a:8443", "a:443", "example.com:https", ":443"]
)
def test_https_is_refused_with_the_reason(text: str) -> None:
    mistake = mistake_of(text)
    assert "HTTPS is not in this release yet" in mistake.message
    assert mistake.hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://a:443", "scheme http and port 443 contradict each other"),
        ("https://a:80", "scheme https and port 80 contradict each other"),
        ("http://a:https", "its scheme is given twice"),
        ("ftp://a", "a site is served over http or https, not `ftp`"),
        ("a:65536", "`65536` is not a port (0 to 65535)"),
        ("a:-1", "`-1` is not a port (0 to 65535)"),
        ("a:x", "`x` is not a port (0 to 65535)"),
        ("a:٣", "`٣` is not a port (0 to 65535)"),
        ("a.*.com", "`*` stands only for whole labels at the beginning, as in `*.example.com`"),
        ("*foo.com", "`*` stands only for whole labels at the beginning, as in `*.example.com`"),
        ("::1", "it has more than one colon; an IPv6 address stands in brackets, as `[::1]:8080`"),
        ("[::g]", "it is not an IPv6 address"),
        ("a b", "it is not a host name"),
        ("a/b?c", "an address has no query and no fragment"),
    ],
)
def test_what_is_no_address_is_explained(text: str, why: str) -> None:
    assert mistake_of(text).message == f"`{text}` is not a site address: {why}"


def test_credentials_are_refused_and_not_repeated() -> None:
    assert "secret" not in mistake_of("http://u:secret@a").message


def test_the_width_is_the_callers_or_the_texts() -> None:
    assert mistake_of("a:x").width == 3
    with pytest.raises(ConfigError) as raised:
        parse_address("a:x", HERE, 9)
    assert raised.value.mistakes[0].width == 9


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "b.test", 81),
        (":", "b.test", 81),
        ("a.test", "a.test", 81),
        (":5", "b.test", 5),
        ("http://", "b.test", 82),
        ("a.test:http", "a.test", 82),
        ("0.0.0.0", "", 81),
    ],
)
def test_what_an_address_does_not_say_comes_from_the_command_line(text: str, host: str, port: int) -> None:
    address = parse_address(text, HERE, 0, Defaults("b.test", 81, 82))
    assert (address.host, address.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("example.com", True),
        ("*.example.com/x", True),
        ("example.com:2015", False),
        ("http://example.com", False),
        ("localhost", False),
        ("10.1.1.1", False),
    ],
)
def test_who_would_expect_https(text: str, answer: bool) -> None:
    assert is_implicitly_https(parse_address(text, HERE)) is answer


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text, HERE)
    except ConfigError:
        return
    assert 0 <= address.port <= 65535 and address.port != 443
    assert address.path == "" or address.path.startswith("/")


def test_a_garbled_scheme_is_no_host_of_that_name() -> None:
    mistake = mistake_of("http//u:secret@a.test")
    assert mistake.message == "`a.test` is not a site address: its scheme is garbled"
    assert mistake.hint == "write `http://a.test`"
