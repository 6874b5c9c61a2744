from __future__ import annotations

import contextlib
import socket

import pytest

from posthouse.admin.api import PUBLIC
from posthouse.admin.tcp_place import TCPPlace
from posthouse.errors import StartError


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_listens_there(host: str) -> None:
    place = TCPPlace(host, 0)
    try:
        listening = place.claim()
    except StartError:
        if host == "::1":
            pytest.skip("no IPv6 here")
        raise
    with contextlib.closing(listening), socket.create_connection((host, place.port)) as client:
        assert client.getpeername()[1] == place.port > 0
    place.remove()
    assert place.listening is None
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, place.port))
    assert place.address == (f"[::1]:{place.port}" if host == "::1" else f"127.0.0.1:{place.port}")
    assert place.is_wanted and place.paths == PUBLIC


def test_a_port_that_is_taken() -> None:
    taken = TCPPlace("127.0.0.1", 0)
    with contextlib.closing(taken.claim()):
        port = taken.port
        with pytest.raises(StartError, match=rf"--admin-listen 127.0.0.1:{port}: Address already in use"):
            TCPPlace("127.0.0.1", port).claim()
    taken.remove()
    free = TCPPlace("127.0.0.1", port)
    free.claim().close()
    free.remove()


def test_who_connects_between_two_processes_waits_for_the_next_one() -> None:
    first = TCPPlace("127.0.0.1", 0)
    first.claim().close()
    first.give_up()
    assert first.listening is not None
    address, listening = first.listening
    second = TCPPlace(*address, listening.dup())
    with socket.create_connection(address) as client:
        first.remove()
        with second.claim() as again:
            again.setblocking(True)
            accepted, peer = again.accept()
            accepted.close()
        assert peer == client.getsockname()
    second.remove()


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(StartError, match=r"--admin-listen 192.0.2.1:9: Cannot assign"):
        TCPPlace("192.0.2.1", 9).claim()
