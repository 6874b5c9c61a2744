"""Listening sockets: real ones, on loopback, ports chosen by the kernel."""

from __future__ import annotations

import re
import socket

import pytest

from posthouse.errors import StartError
from posthouse.server import sockets


def test_a_socket_listens_and_does_not_block() -> None:
    with sockets.bind(("127.0.0.1", 0)) as listening:
        assert not listening.getblocking()
        assert sockets.port_of(listening) > 0
        with socket.create_connection(("127.0.0.1", sockets.port_of(listening)), 2):
            (connection,) = sockets.take_waiting(listening)
            connection.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="the machine has no IPv6")
@pytest.mark.parametrize("host", ["", "::"])
def test_every_address_means_both_families(host: str) -> None:
    with sockets.bind((host, 0)) as listening:
        for loopback in ("127.0.0.1", "::1"):
            socket.create_connection((loopback, sockets.port_of(listening)), 2).close()
        first, second = sockets.take_waiting(listening)
        first.close()
        second.close()


def test_every_address_is_ipv4_where_there_is_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_has_ipv6", lambda: False)
    with sockets.bind(("", 0)) as listening:
        assert listening.family == socket.AF_INET


def test_a_name_is_resolved() -> None:
    with sockets.bind(("localhost", 0)) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_accepted_connections_have_keep_alive() -> None:
    with (
        sockets.bind(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname(), 2),
    ):
        (connection,) = sockets.take_waiting(listening)
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            assert idle == 180


def test_a_taken_port_is_one_clear_line() -> None:
    with sockets.bind(("127.0.0.1", 0)) as listening:
        port = sockets.port_of(listening)
        with pytest.raises(StartError) as raised:
            sockets.bind(("127.0.0.1", port))
    expected = f"cannot listen on 127.0.0.1:{port}: the address is already in use by another program"
    assert str(raised.value) == expected


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("192.0.2.1", 0), "cannot listen on 192.0.2.1:0: that is not an address of this machine"),
        (("no.such.host.invalid", 1), "cannot listen on no.such.host.invalid:1: the name does not resolve"),
    ],
)
def test_what_else_can_be_wrong_is_named(key: tuple[str, int], line: str) -> None:
    with pytest.raises(StartError, match=re.escape(line)):
        sockets.bind(key)


def test_no_permission_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(
        family: int, address: tuple[str, int], is_sharing: bool, is_one_of_many: bool
    ) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sockets, "_listen", refuse)
    with pytest.raises(
        StartError, match=r"^cannot listen on :80: no permission \(ports below 1024 need root"
    ):
        sockets.bind(("", 80))
    with pytest.raises(StartError, match=r"^cannot listen on :8080: no permission$"):
        sockets.bind(("", 8080))


def test_a_listener_on_one_address_beside_one_on_every_address() -> None:
    """Allowed among our own; the special one gets its connections; a stranger is refused all the same."""
    with sockets.bind(("", 0)) as every:
        port = sockets.port_of(every)
        with pytest.raises(StartError, match="already in use"):
            sockets.bind(("127.0.0.1", port))
        with sockets.bind(("127.0.0.1", port), share=[every]) as special:
            with socket.create_connection(("127.0.0.1", port), 2):
                (connection,) = sockets.take_waiting(special)
                connection.close()
            for ours in (every, special):
                assert not ours.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            with pytest.raises(StartError, match="already in use"):
                sockets.bind(("127.0.0.1", port))


def test_several_share_a_port_evenly_and_a_stranger_is_refused() -> None:
    several = sockets.bind_slots(("127.0.0.1", 0), 4)
    port = sockets.port_of(several[0])
    assert {sockets.port_of(one) for one in several} == {port}
    clients = [socket.create_connection(("127.0.0.1", port), 2) for _ in range(200)]
    taken = [sockets.take_waiting(one) for one in several]
    assert sum(map(len, taken)) == 200
    assert min(map(len, taken)) >= 20, "a hash spreads them: 50 each, give or take some"
    for slots in (1, 2):
        with pytest.raises(StartError, match="already in use"):
            sockets.bind_slots(("127.0.0.1", port), slots)
    for one in (*several, *clients, *(one for queue in taken for one in queue)):
        one.close()


def test_several_beside_several_on_another_host() -> None:
    every = sockets.bind_slots(("", 0), 2)
    port = sockets.port_of(every[0])
    special = sockets.bind_slots(("127.0.0.1", port), 2, share=every)
    clients = [socket.create_connection(("127.0.0.1", port), 2) for _ in range(20)]
    taken = [sockets.take_waiting(one) for one in (*every, *special)]
    assert [len(queue) > 0 for queue in taken] == [False, False, True, True]
    for one in (*every, *special, *clients, *(one for queue in taken for one in queue)):
        one.close()


@pytest.mark.parametrize(
    ("key", "text"),
    [(("", 80), ":80"), (("127.0.0.1", 8080), "127.0.0.1:8080"), (("::1", 0), "[::1]:0")],
)
def test_show(key: tuple[str, int], text: str) -> None:
    assert sockets.show(key) == text


def test_whoever_waits_is_taken_and_those_who_left_do_no_harm() -> None:
    with sockets.bind(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        clients = [socket.create_connection(address, 2) for _ in range(3)]
        gone = socket.create_connection(address, 2)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()
        taken = sockets.take_waiting(listening)
        peers = [client.getsockname() for client in clients]
        assert [connection.getpeername() for connection in taken[:3]] == peers
        for one in (*clients, *taken):
            one.close()
        assert sockets.take_waiting(listening) == []


def test_more_slots_than_sockets_and_fewer() -> None:
    (first,) = sockets.bind_slots(("127.0.0.1", 0), 1)
    key = ("127.0.0.1", sockets.port_of(first))
    both = sockets.for_slots(key, [first], 2)
    assert both[0] is first and sockets.port_of(both[1]) == key[1]
    assert sockets.for_slots(key, both, 1) == (first,)
    assert sockets.for_slots(key, both, 2) == both
    for one in both:
        one.close()
    with pytest.raises(StartError, match=r"cannot listen on 127\.0\.0\.1"):
        sockets.for_slots(key, [first], 2)
