from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.specs import EndpointSpec
from posthouse.endpoints import BadEndpoint, parse_endpoints
from posthouse.errors import NOWHERE, Place


def one(text: str) -> EndpointSpec:
    (endpoint,) = parse_endpoints(text, NOWHERE)
    return endpoint


@pytest.mark.parametrize(
    ("text", "shown", "host", "port", "authority"),
    [
        ("web1.local:80", "http://web1.local:80", "web1.local", 80, "web1.local:80"),
        ("backend", "http://backend", "backend", 80, "backend"),
        ("http://backend", "http://backend", "backend", 80, "backend"),
        ("HTTP://Backend:81", "http://Backend:81", "backend", 81, "Backend:81"),
        ("httpd:8080", "http://httpd:8080", "httpd", 8080, "httpd:8080"),
        ("httpbin.local", "http://httpbin.local", "httpbin.local", 80, "httpbin.local"),
        ("my-host:80", "http://my-host:80", "my-host", 80, "my-host:80"),
        (":9000", "http://:9000", "", 9000, "localhost:9000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000", "127.0.0.1", 9000, "127.0.0.1:9000"),
        ("[::1]:9000", "http://[::1]:9000", "::1", 9000, "[::1]:9000"),
        ("http://[fe80::1%25eth0]:9", "http://[fe80::1%25eth0]:9", "fe80::1%eth0", 9, "[fe80::1]:9"),
        ("bücher.example", "http://bücher.example", "xn--bcher-kva.example", 80, "xn--bcher-kva.example"),
    ],
)
def test_hosts_and_ports(text: str, shown: str, host: str, port: int, authority: str) -> None:
    endpoint = one(text)
    assert (endpoint.text, endpoint.scheme, endpoint.unix) == (shown, "http", "")
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, port, authority)
    assert (endpoint.base_path, endpoint.base_query, endpoint.credentials) == ("", "", "")


@pytest.mark.parametrize(
    ("text", "shown", "host", "port", "authority"),
    [
        ("https://backend", "https://backend", "backend", 443, "backend"),
        ("HTTPS://Backend:8443", "https://Backend:8443", "backend", 8443, "Backend:8443"),
        ("https://:8443", "https://:8443", "", 8443, "localhost:8443"),
        ("https://[::1]", "https://[::1]", "::1", 443, "[::1]"),
        ("https://u:p@backend", "https://backend", "backend", 443, "backend"),
    ],
)
def test_https(text: str, shown: str, host: str, port: int, authority: str) -> None:
    endpoint = one(text)
    assert (endpoint.text, endpoint.scheme) == (shown, "https")
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, port, authority)


def test_a_range_of_https_ports_with_base_and_credentials() -> None:
    first, second = parse_endpoints("https://u:p@web:8443-8444/base", NOWHERE)
    assert [one.port for one in (first, second)] == [8443, 8444]
    assert {(one.scheme, one.base_path, one.credentials) for one in (first, second)} == {
        ("https", "/base", "u:p")
    }
    assert second.text == "https://web:8444/base"


@pytest.mark.parametrize(
    ("text", "path", "query"),
    [
        ("http://a/", "/", ""),
        ("a/base", "/base", ""),
        ("a:81/base/?k=v", "/base/", "k=v"),
        ("a?k=v&l=?", "", "k=v&l=?"),
        ("a/x%2Fy%2C", "/x%2Fy%2C", ""),
        ("a/ü", "/%C3%BC", ""),
        ("a/x:80-90", "/x:80-90", ""),
        ("a/?q=ü", "/", "q=%C3%BC"),
    ],
)
def test_base_path_and_query_are_kept_encoded(text: str, path: str, query: str) -> None:
    endpoint = one(text)
    assert (endpoint.base_path, endpoint.base_query) == (path, query)
    assert endpoint.text == "http://" + text.removeprefix("http://")


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        ("http://user:pw@my-host", "user:pw"),
        ("user:pw@host", "user:pw"),
        ("user@host:81/x", "user:"),
        ("http://u%40x:p%2Fw%3A@host", "u@x:p/w:"),
        ("u:a@b@host", "u:a@b"),
        ("@host", ""),
    ],
)
def test_credentials_are_decoded_and_never_shown(text: str, credentials: str) -> None:
    endpoint = one(text)
    assert endpoint.credentials == credentials
    assert "@" not in endpoint.text + endpoint.authority
    assert "pw" not in repr(endpoint)


def test_a_range_is_one_endpoint_per_port_in_order() -> None:
    place = Place("f", 1, 9)
    found = parse_endpoints("http://u:p@web-1:8080-8082/b?k", place)
    assert [e.text for e in found] == [f"http://web-1:{port}/b?k" for port in (8080, 8081, 8082)]
    assert [e.port for e in found] == [8080, 8081, 8082]
    assert {(e.credentials, e.base_path, e.base_query, e.place) for e in found} == {("u:p", "/b", "k", place)}
    assert [e.authority for e in found] == ["web-1:8080", "web-1:8081", "web-1:8082"]


@pytest.mark.parametrize("text", ["unix:/run/a.sock", "unix:///run/a.sock"])
def test_unix_sockets(text: str) -> None:
    endpoint = one(text)
    assert (endpoint.text, endpoint.unix, endpoint.authority) == (text, "/run/a.sock", "localhost")
    assert (endpoint.host, endpoint.port) == ("", 0)


def test_the_path_of_a_unix_socket_has_a_longest() -> None:
    assert one("unix:/" + "x" * 106)
    with pytest.raises(BadEndpoint, match="at most 107 bytes"):
        parse_endpoints("unix:/" + "x" * 107, NOWHERE)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("ws://a", "`ws://` is not a backend's scheme", "http://"),
        ("wss://a", "`wss://` is not a backend's scheme", "https://"),
        ("quic://a", "`quic:` is not part of Posthouse", "https://"),
        ("QUIC:a:443", "`quic:` is not part of Posthouse", "https://"),
        ("fastcgi://a", "`fastcgi://` is not part of Posthouse", "FastCGI"),
        ("ftp://a", "`ftp://` is not a scheme", "http://"),
        ("tcp://a:1", "`tcp://` is not a scheme", "unix:"),
        ("http//a", "`http//a` is not a backend's address: its scheme is garbled", "`http://a`"),
        ("https:/u:pw@a:1", "`a:1` is not a backend's address: its scheme is garbled", "`https://a:1`"),
        ("unix:run/a", "its path must be absolute", "unix:/PATH"),
        ("unix://run/a.sock", "a host would follow", "unix:/run/a.sock"),
        ("unix:@name", "abstract Unix sockets", "unix:/PATH"),
        ("unix:/run/", "ends with a slash", ""),
        ("unix:", "must be absolute", ""),
        ("", "is empty", "environment"),
        ("a b", "no blanks", ""),
        ("a\x01", "no blanks or control", ""),
    ],
)
def test_other_schemes_and_odd_sockets_are_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadEndpoint) as raised:
        parse_endpoints(text, NOWHERE)
    assert message in raised.value.message
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a:99999", "port 99999 is not between 1 and 65535"),
        ("a:65536", "port 65536 is not between 1 and 65535"),
        ("a:0", "port 0 is not between 1 and 65535"),
        ("a:http", "`http` is not a port: a number from 1 to 65535 is expected"),
        ("a:٣", "`٣` is not a port: a number from 1 to 65535 is expected"),
        ("a:", "a port is missing after the colon"),
        (":", "a port is missing after the colon"),
        ("http://", "it has no host and no port"),
        ("/path", "it has no host and no port"),
        ("a:1-2-3", "`1-2-3` is not a port range: it has more than one hyphen"),
        ("a:5-4", "port range [5-4] is invalid: it must go up"),
        ("a:5-5", "port range [5-5] is invalid: it must go up"),
        ("a:5-x", "`x` is not a port: a number from 1 to 65535 is expected"),
        ("a:-5", "a port is missing after the colon"),
        ("a:65530-65540", "port 65540 is not between 1 and 65535"),
        ("::1", "it has more than one colon; an IPv6 address stands in brackets, as `[::1]:8080`"),
        ("[::1", "a closing `]` is missing"),
        ("[a]:1", "it is not an IPv6 address"),
        ("300.0.0.1:1", "it is not an IPv4 address"),
        ("*.a:1", "it is not a host name"),
        ("{host}:1", "it is not a host name"),
        ("a/%zz", "a percent sign is not followed by two hexadecimal digits"),
        ("a/x#y", "a fragment (`#…`) is never sent to a backend"),
    ],
)
def test_a_bad_address_is_explained(text: str, why: str) -> None:
    with pytest.raises(BadEndpoint) as raised:
        parse_endpoints(text, NOWHERE)
    assert raised.value.message == f"`{text.removeprefix('http://')}` is not a backend's address: {why}"


@pytest.mark.parametrize(
    "text",
    [
        "http://user:secret@h:x",
        "user:secret@",
        "http://user:sec/secret@h",
        "us%3Aer:secret@h",
        "u:secret%00@h",
        "u:secret%zz@h",
        "u:secret%ff@h",
        "http://u:secret/part@h",
        "u:secret/@h",
        "http://u:secret/p@art@h:80",
    ],
)
def test_a_bad_address_keeps_its_credentials_to_itself(text: str) -> None:
    with pytest.raises(BadEndpoint) as raised:
        parse_endpoints(text, NOWHERE)
    assert "secret" not in raised.value.message + raised.value.hint


@given(st.text(max_size=40) | st.from_regex(r"(http://)?[a-z:@\-\[\]/?#%0-9]{0,30}", fullmatch=True))
def test_any_text_is_endpoints_or_refused(text: str) -> None:
    try:
        found = parse_endpoints(text, NOWHERE)
    except BadEndpoint as bad:
        assert bad.message
        return
    for endpoint in found:
        assert endpoint.unix or 1 <= endpoint.port <= 65535
        assert endpoint.authority.isascii() and endpoint.authority.isprintable()
        assert endpoint.base_path.isascii() and endpoint.base_query.isascii()
