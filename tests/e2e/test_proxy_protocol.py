"""The PROXY protocol on real sockets: who has to introduce a client, who is believed, and what backends are told.

Every address of 127.0.0.0/8 is this machine's, so a client chooses by its own address which peer it is.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from kit import Posthouse, RawClient, ScriptedBackend, Stage, request, response
from kit.backend import PATIENCE, BackendConnection

IN, OUT, CHAIN, SLOW = "PORT1", "PORT2", "PORT3", "PORT4"
CADDYFILE = """
http://in.test:PORT1 {
    bind 127.0.0.1
    proxy_protocol 127.0.0.2 ::1
    trusted_proxies 10.0.0.0/8
    log / in.log json
    log / masked.log "{remote}" {
        ipmask 255.255.0.0
    }
    proxy / BACKEND {
        header_upstream X-Peer {remote}:{port}
        header_upstream X-Client {client_ip}
    }
}
http://out.test:PORT2 {
    bind 127.0.0.1
    proxy /v1 BACKEND {
        proxy_protocol v1
    }
    proxy /v2 BACKEND {
        proxy_protocol v2
    }
    proxy /once BACKEND {
        proxy_protocol v1
        keepalive 0
    }
    proxy / BACKEND
}
http://chain.test:PORT3 {
    bind 127.0.0.1
    proxy_protocol 127.0.0.2
    proxy / BACKEND {
        proxy_protocol v1
    }
}
http://slow.test:PORT4 {
    bind 127.0.0.1
    tcp {
        backlog 3
        keepalive 77s
        nodelay off
    }
    proxy / BACKEND {
        tcp_keepalive 66s
        tcp_nodelay off
    }
}
"""
LINE = b"PROXY TCP4 203.0.113.9 198.51.100.1 5123 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = request("GET", "/", host="in.test")


@pytest.fixture(scope="module")
def scene() -> Iterator[Stage]:
    with Stage(CADDYFILE) as stage:
        yield stage


@pytest.fixture(autouse=True)
def fresh(scene: Stage) -> None:
    scene.clear()
    scene.backend.on_connect = introduced


def introduced(connection: BackendConnection) -> None:
    """A backend that takes a PROXY header if there is one, and answers with it."""
    while len(connection.buffer) < 16:
        if connection.fill():
            return
    header = b""
    if connection.buffer.startswith(SIGNATURE):
        size = 16 + int.from_bytes(connection.buffer[14:16], "big")
        header = bytes(connection.buffer[:size])
    elif connection.buffer.startswith(b"PROXY "):
        header = bytes(connection.buffer[: connection.buffer.find(b"\r\n") + 2])
    del connection.buffer[: len(header)]
    while connection.read_request() is not None:
        connection.send(response(200, body=header or b"none"))


class Peer(RawClient):
    """A client that connects from an address of its choice."""

    def __init__(self, port: int, own: str = "127.0.0.2") -> None:
        self.timeout = 10.0
        self.buffer = bytearray()
        self.socket = socket.create_connection(("127.0.0.1", port), 10.0, (own, 0))


# -- in --------------------------------------------------------------------------------------------------------------


def test_what_everything_else_sees(scene: Stage) -> None:
    """The header's client is the peer: for backends, placeholders, logs; its fields are not believed."""
    with Peer(scene.posthouse.named_port(IN)) as peer:
        peer.send_pieces(LINE + request("GET", "/a", [("X-Forwarded-For", "6.6.6.6")], host="in.test"))
        assert peer.read_response().status == 200
        assert peer.exchange(request("GET", "/b", host="in.test")).status == 200
    for asked in scene.backend.wait_requests(2):
        assert asked.all("X-Forwarded-For") == [b"203.0.113.9"]
        assert asked.all("X-Peer") == [b"203.0.113.9:5123"] and asked.all("X-Client") == [b"203.0.113.9"]
    logged = [json.loads(line) for line in scene.posthouse.wait_access(2, "in.log")]
    assert {(line["peer"], line["client_ip"]) for line in logged} == {("203.0.113.9", "203.0.113.9")}
    assert set(scene.posthouse.wait_access(2, "masked.log")) == {"203.0.0.0"}


def test_a_client_can_itself_be_a_trusted_proxy(scene: Stage) -> None:
    block = bytes((10, 1, 2, 3, 127, 0, 0, 1, 0, 9, 0, 80))
    with Peer(scene.posthouse.named_port(IN)) as peer:
        peer.send(SIGNATURE + b"\x21\x11\0\x0c" + block)
        peer.send(request("GET", "/", [("X-Forwarded-For", "192.0.2.55")], host="in.test"))
        assert peer.read_response().status == 200
    [asked] = scene.backend.wait_requests(1)
    assert asked.all("X-Forwarded-For") == [b"192.0.2.55, 10.1.2.3"]
    assert asked.all("X-Client") == [b"192.0.2.55"]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"])
def test_a_connection_of_the_peers_own(scene: Stage, header: bytes) -> None:
    with Peer(scene.posthouse.named_port(IN)) as peer:
        assert peer.exchange(header + GET).status == 200
    assert scene.backend.wait_requests(1)[0].all("X-Forwarded-For") == [b"127.0.0.2"]


def test_others_need_none_and_are_not_believed(scene: Stage) -> None:
    port = scene.posthouse.named_port(IN)
    with Peer(port, "127.0.0.3") as other:
        assert other.exchange(GET).status == 200
    assert scene.backend.wait_requests(1)[0].all("X-Forwarded-For") == [b"127.0.0.3"]
    scene.backend.clear()
    for header in (LINE, b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"):
        with Peer(port, "127.0.0.3") as other:
            assert other.exchange(header + GET).status == 400
            assert other.end() == "fin"
    assert scene.backend.received() == b""


def test_what_is_no_header_is_closed_without_a_word(scene: Stage) -> None:
    """And of all of them there is one line in the log; the metrics count each."""
    before = scene.posthouse.metric("posthouse_refused_peers_total")
    for data in (
        GET,
        b"PROXY TCP4 1.2.3.4\r\n" + GET,
        SIGNATURE + b"\x41\x11\0\x0c",
        b"\x16\x03\x01\x02\0\1",
    ):
        with Peer(scene.posthouse.named_port(IN)) as peer:
            peer.send(data)
            assert peer.end() in ("fin", "rst") and peer.buffer == b""
    assert scene.backend.received() == b""
    line = scene.posthouse.wait_stderr(r"WARN peer refused .*")[0]
    assert line.endswith('reason="not a PROXY protocol header" peer=127.0.0.2'), line
    assert scene.posthouse.stderr().count("peer refused") == 1
    assert scene.posthouse.metric("posthouse_refused_peers_total") == before + 4


# -- out -------------------------------------------------------------------------------------------------------------


def test_one_connection_for_one_client(scene: Stage) -> None:
    """Kept for the next request of the same client, never used for another, closed with it."""
    port = scene.posthouse.named_port(OUT)
    with RawClient(port) as first, RawClient(port) as second:
        for _ in range(2):
            for client in (first, second):
                expected = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (client.local_port, port)
                assert client.exchange(request("GET", "/v1", host="out.test")).body == expected
        one, other = scene.backend.wait_connections(2)
        assert len(scene.backend.connections) == 2 and not one.ended and not other.ended
        first.close()
        assert one.wait_gone() and not other.ended
        assert second.exchange(request("GET", "/v1", host="out.test")).status == 200
        assert len(scene.backend.connections) == 2
    assert other.wait_gone()


def test_version_2(scene: Stage) -> None:
    port = scene.posthouse.named_port(OUT)
    with RawClient(port) as client:
        header = client.exchange(request("GET", "/v2", host="out.test")).body
        ports = client.local_port.to_bytes(2, "big") + port.to_bytes(2, "big")
        assert header == SIGNATURE + b"\x21\x11\0\x0c" + bytes((127, 0, 0, 1)) * 2 + ports


def test_other_routes_share_nothing_with_it(scene: Stage) -> None:
    """The same backend without the property: a connection of its own, without a header."""
    with RawClient(scene.posthouse.named_port(OUT)) as client:
        assert client.exchange(request("GET", "/v1", host="out.test")).body.startswith(b"PROXY ")
        assert client.exchange(request("GET", "/plain", host="out.test")).body == b"none"
        assert client.exchange(request("GET", "/v2", host="out.test")).body.startswith(SIGNATURE)
        assert client.exchange(request("GET", "/v1", host="out.test")).body.startswith(b"PROXY ")
    assert len(scene.backend.connections) == 3


def test_without_keepalive_each_request_has_its_own(scene: Stage) -> None:
    with RawClient(scene.posthouse.named_port(OUT)) as client:
        for _ in range(2):
            assert client.exchange(request("GET", "/once", host="out.test")).body.startswith(b"PROXY TCP4")
    assert len(scene.backend.connections) == 2


def test_what_came_in_goes_out(scene: Stage) -> None:
    with Peer(scene.posthouse.named_port(CHAIN)) as peer:
        assert peer.exchange(LINE + request("GET", "/", host="chain.test")).body == LINE


def test_the_backend_that_closes_is_dialled_again(scene: Stage) -> None:
    """A kept connection that the backend has closed costs the client nothing, and the new one is introduced too."""
    with RawClient(scene.posthouse.named_port(OUT)) as client:
        assert client.exchange(request("GET", "/v1", host="out.test")).status == 200
        scene.backend.close_connections()
        assert client.exchange(request("GET", "/v1", host="out.test")).body.startswith(b"PROXY TCP4")


def test_an_upgrade_is_introduced_and_ends_with_the_client(scene: Stage) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"

    def upgrade(connection: BackendConnection) -> None:
        while b"\r\n\r\n" not in connection.buffer:
            connection.fill()
        connection.send(switch + bytes(connection.buffer[: connection.buffer.find(b"\r\n")]))
        connection.wait_end()

    scene.backend.on_connect = upgrade
    with RawClient(scene.posthouse.named_port(OUT)) as client:
        fields = [("Connection", "Upgrade"), ("Upgrade", "x")]
        client.send(request("GET", "/v1", fields, host="out.test"))
        assert client.read_head().status == 101
        expected = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d" % client.local_port
        while len(client.buffer) < len(expected):
            assert client.fill() == ""
        assert client.buffer.startswith(expected)
    [connection] = scene.backend.connections
    assert connection.wait_gone()


def test_health_checks_say_that_they_are_ours() -> None:
    site = """
    http://:PORT {
        bind 127.0.0.1
        proxy /1 FIRST { proxy_protocol v1 health_check /h }
        proxy /2 SECOND { proxy_protocol v2 health_check /h }
    }
    """
    headers = b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"
    with ScriptedBackend() as first, ScriptedBackend() as second:
        first.on_connect = second.on_connect = introduced
        with Posthouse(site, FIRST=first.address, SECOND=second.address):
            for backend, header in zip((first, second), headers, strict=True):
                assert backend.wait_requests(1)[0].target == b"/h"
                assert bytes(backend.connections[0].received).startswith(header + b"GET /h HTTP/1.1\r\n")


# -- TCP settings ------------------------------------------------------------------------------------------------------


def keepalive_timer(port: int) -> int:
    """Seconds until the kernel asks the peer, of the established connection with that local port; 0 = it does not."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with open("/proc/net/tcp", encoding="ascii") as table:
            lines = [line.split() for line in table][1:]
        for words in lines:
            if words[1].endswith(f":{port:04X}") and words[3] == "01":
                kind, _, ticks = words[5].partition(":")
                if kind in ("00", "02"):  # 01: an acknowledgement is awaited
                    return int(ticks, 16) // 100 if kind == "02" else 0
        assert time.monotonic() < deadline


def test_tcp_settings_are_the_kernels(scene: Stage) -> None:
    """Keep-alive as the kernel shows it: by default three minutes towards clients, none towards backends."""
    for name, downstream, upstream in ((SLOW, 77, 66), (OUT, 180, 0)):
        scene.clear()
        host = "slow.test" if name == SLOW else "out.test"
        with RawClient(scene.posthouse.named_port(name)) as client:
            assert client.exchange(request("GET", "/", host=host)).status == 200
            assert downstream - 5 <= keepalive_timer(scene.posthouse.named_port(name)) <= downstream
            [connection] = scene.backend.connections
            seconds = keepalive_timer(connection.socket.getpeername()[1])
            assert upstream - 5 <= seconds <= upstream
