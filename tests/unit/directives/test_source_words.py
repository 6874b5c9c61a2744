"""TOs that stand for sources: what they mean, and which are refused."""

from __future__ import annotations

import pytest

from posthouse.directives.source_words import certified_name, parse_source
from posthouse.endpoints import BadEndpoint
from posthouse.errors import NOWHERE, Place

HERE = Place("Caddyfile", 2, 9)


@pytest.mark.parametrize("text", ["a:1", "http://srv", "unix:/run/srv", "srv", "file", "dns:53", ":80"])
def test_ordinary_backends_are_none(text: str) -> None:
    assert parse_source(text, NOWHERE, 0) is None


def test_srv() -> None:
    spec = parse_source("SRV://user:se%40cret@_http._tcp.Web.test/base?k=v", HERE, 3)
    assert spec is not None
    assert (spec.kind, spec.name, spec.position, spec.place) == ("srv", "_http._tcp.web.test", 3, HERE)
    assert spec.text == "srv://_http._tcp.Web.test/base?k=v"
    member = spec.member
    assert (member.scheme, member.base_path, member.base_query) == ("http", "/base", "k=v")
    assert (member.authority, member.server_name) == ("_http._tcp.Web.test", "")
    assert member.credentials == "user:se@cret"
    assert "cret" not in repr(spec)


@pytest.mark.parametrize(
    ("text", "port"), [("dns://web.test:8080", 8080), ("dns://web.test", 80), ("dns://WEB:81/x", 81)]
)
def test_dns(text: str, port: int) -> None:
    spec = parse_source(text, HERE, 0)
    assert spec is not None
    assert (spec.kind, spec.text, spec.member.port) == ("dns", text, port)
    assert spec.name == spec.member.host


@pytest.mark.parametrize(
    ("text", "port", "certified"),
    [
        ("srv+https://_https._tcp.web.test/b", 0, "web.test"),
        ("dns+https://web.test/b", 443, "web.test"),
        ("DNS+HTTPS://web.test:8443/b", 8443, "web.test"),
    ],
)
def test_over_tls(text: str, port: int, certified: str) -> None:
    spec = parse_source(text, HERE, 0)
    assert spec is not None
    member = spec.member
    assert (member.scheme, member.port, member.server_name) == ("https", port, certified)
    assert member.text.startswith("https://") and spec.text.lower() == text.lower()


@pytest.mark.parametrize(("text", "name"), [("srv://a.test.", "a.test."), ("dns://A.test.:80", "a.test.")])
def test_a_last_dot_stays(text: str, name: str) -> None:
    """It keeps search domains away."""
    spec = parse_source(text, HERE, 0)
    assert spec is not None and spec.name == name


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:list", "list"),
        ("file:/etc/list.json", "/etc/list.json"),
        ("FILE:///etc/list", "/etc/list"),
        ("file:a b", "a b"),
    ],
)
def test_file(text: str, path: str) -> None:
    spec = parse_source(text, HERE, 0)
    assert spec is not None
    assert (spec.kind, spec.text, spec.name) == ("file", text, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("srv://web.test:80", "`srv://web.test:80` has a port, but ports come from the SRV records"),
        ("srv://127.0.0.1", "`srv://127.0.0.1` is an address: there is nothing to look up"),
        ("dns://[::1]:80", "`dns://[::1]:80` is an address: there is nothing to look up"),
        ("dns://:80", "`dns://:80` has no name to ask the DNS for"),
        ("dns://web.test:80-81", "`dns://web.test:80` has a range of ports: `dns://` takes one name"),
        ("srv://", "`srv://` has no name to ask the DNS for"),
        ("srv://u:secret@we%20b", "`we%20b` is not a backend's address: it is not a host name"),
        ("file:", "`file:` names no file"),
        ("file:lists/", "`file:lists/` names no file"),
        ("file://host/list", "`file://host/list` names no file: a host would follow `file://`"),
        ("file:a\0b", "`file:a␀b` names no file"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadEndpoint) as raised:
        parse_source(text, HERE, 0)
    assert raised.value.message == message
    assert "secret" not in raised.value.message + raised.value.hint


@pytest.mark.parametrize(
    ("name", "certified"),
    [("_https._tcp.web.test", "web.test"), ("web.service.consul", "web.service.consul"), ("_a", "_a")],
)
def test_certificates_are_for_the_domain_of_the_service(name: str, certified: str) -> None:
    assert certified_name(name) == certified
