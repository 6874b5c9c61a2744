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
    assert place.address == (f"[::1]:{place.port}" if host == "::1" else f"127.0.0.1:{place.port}")
    assert place.is_wanted and place.paths == PUBLIC


def test_a_port_that_is_taken() -> None:
    with contextlib.closing(TCPPlace("127.0.0.1", 0).claim()) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"--admin-listen 127.0.0.1:{port}: Address already in use"):
            TCPPlace("127.0.0.1", port).claim()
    TCPPlace("127.0.0.1", port).claim().close()


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(StartError, match=r"--admin-listen 192.0.2.1:9: Cannot assign"):
        TCPPlace("192.0.2.1", 9).claim()
