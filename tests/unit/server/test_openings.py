from __future__ import annotations

from posthouse.balance.backend import Backend
from posthouse.balance.watch import Watch
from posthouse.config.specs import EndpointSpec, PoolSpec, TLSSpec, UpstreamTCPSpec
from posthouse.net.connector import PLAIN, Opening
from posthouse.net.idle import IdleConnections
from posthouse.net.tls import Identities
from posthouse.server.openings import MOST_OWN, opening_for, preface_of_checks
from unit.net.fakes import Backend as Upstream
from unit.net.wire import Stand
from unit.server.fakes import Somebody

BACKEND = Backend(EndpointSpec("http://127.0.0.1:1", "http", "127.0.0.1", 1), 1, Watch())


def test_most_connections_need_nothing() -> None:
    client = Somebody()
    assert opening_for(BACKEND, PoolSpec("p", ()), client) is PLAIN
    assert client.own is None


def test_tcp_and_tls() -> None:
    tcp = UpstreamTCPSpec(keepalive=9.0)
    assert opening_for(BACKEND, PoolSpec("p", (), tcp=tcp), Somebody()) == Opening(tcp=tcp)
    secure = Backend(EndpointSpec("https://127.0.0.1:1", "https", "127.0.0.1", 1), 1, Watch())
    secure.tls = Identities().get(TLSSpec(insecure_skip_verify=True))
    assert opening_for(secure, PoolSpec("p", ()), Somebody()) == Opening(secure.tls)


def test_a_connection_for_one_client() -> None:
    client = Somebody()
    first = opening_for(BACKEND, PoolSpec("p", (), proxy_protocol="v1"), client)
    assert first.preface == b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n"
    assert isinstance(client.own, IdleConnections) and first.own is client.own
    second = opening_for(BACKEND, PoolSpec("p", (), proxy_protocol="v2"), client)
    assert second.own is client.own and second.preface.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x11")


def test_one_client_keeps_few() -> None:
    """A fifth backend closes what was kept of the others."""
    client, stand, pool = Somebody(), Stand(), PoolSpec("p", (), proxy_protocol="v1")
    own = opening_for(BACKEND, pool, client).own
    assert own is not None
    for number in range(MOST_OWN):
        opening_for(BACKEND, pool, client)
        assert len(own) == number
        own.release(Upstream(stand, str(number)).connection, 1)
    opening_for(BACKEND, pool, client)
    assert len(own) == 0


def test_a_client_without_an_ip_address() -> None:
    assert (
        opening_for(BACKEND, PoolSpec("p", (), proxy_protocol="v1"), Somebody("", 0)).preface
        == b"PROXY UNKNOWN\r\n"
    )


def test_checks_are_our_own() -> None:
    assert preface_of_checks(PoolSpec("p", ())) == b""
    assert preface_of_checks(PoolSpec("p", (), proxy_protocol="v1")) == b"PROXY UNKNOWN\r\n"
    assert preface_of_checks(PoolSpec("p", (), proxy_protocol="v2")) == b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
