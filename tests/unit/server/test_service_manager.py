"""The service manager, played by the test: what it is told, and which sockets it gives."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.server import service_manager, sockets
from posthouse.server.service_manager import ServiceManager, by_address, given_sockets
from unit.server.fakes import until


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def test_it_is_told_of_each_state(systemd: socket.socket) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": systemd.getsockname()})
    manager.ready()
    manager.reloading()
    manager.stopping()
    manager.close()
    told = [systemd.recv(1000).decode() for _ in range(3)]
    assert told[0] == f"READY=1\nMAINPID={os.getpid()}"
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", told[1])
    assert told[2] == "STOPPING=1"


def test_the_successor_becomes_the_main_process(
    systemd: socket.socket, loop: asyncio.AbstractEventLoop
) -> None:
    env = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "20000"}
    manager = ServiceManager(env)

    async def hand_over() -> None:
        manager.ready()
        manager.hand_over(4711)
        await asyncio.sleep(0.05)

    loop.run_until_complete(hand_over())
    told = [systemd.recv(1000) for _ in range(3)]
    assert told[1:] == [b"WATCHDOG=1", b"MAINPID=4711"]
    with pytest.raises(BlockingIOError):
        systemd.recv(1000)


def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0posthouse-test-{os.getpid()}")
        ServiceManager({"NOTIFY_SOCKET": f"@posthouse-test-{os.getpid()}"}).stopping()
        assert listening.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("env", [{}, {"NOTIFY_SOCKET": "/nowhere/socket"}])
def test_nobody_listens_and_nothing_happens(env: dict[str, str]) -> None:
    manager = ServiceManager(env)
    manager.ready()
    manager.stopping()
    assert repr(manager) == f"<ServiceManager at {env.get('NOTIFY_SOCKET', 'nowhere')}>"


def test_the_watchdog_is_fed(systemd: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    env = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
    told: list[bytes] = []

    def fed() -> bool:
        try:
            told.append(systemd.recv(1000))
        except BlockingIOError:
            pass
        return told.count(b"WATCHDOG=1") == 3

    async def conversation() -> None:
        manager = ServiceManager(env)
        manager.ready()
        manager.ready()
        await until(fed)
        manager.close()

    loop.run_until_complete(conversation())


@pytest.mark.parametrize(
    "change", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "no"}, {"WATCHDOG_USEC": ""}, {"NOTIFY_SOCKET": ""}]
)
def test_the_watchdog_of_another_process_is_not_ours(change: dict[str, str]) -> None:
    env = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}
    assert ServiceManager(env)._watchdog == 1.0
    assert ServiceManager({**env, **change})._watchdog == 0.0


def test_given_sockets_have_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        low = os.dup2(first.fileno(), 700)
        os.dup2(second.fileno(), 701)
        monkeypatch.setattr(service_manager, "_FIRST_DESCRIPTOR", low)
        env = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web"}
        given = given_sockets(env)
        assert [(name, one.getsockname()) for name, one in given] == [
            ("web", first.getsockname()),
            ("", second.getsockname()),
        ]
        for _, one in given:
            assert not one.getblocking()
            assert not one.get_inheritable()
            one.close()
        with pytest.raises(ValueError, match=r"descriptor 700 \(web\) is no socket"):
            given_sockets(env)
        assert given_sockets({**env, "LISTEN_PID": "1"}) == []
        assert given_sockets({}) == []


def test_given_sockets_are_found_by_their_address() -> None:
    one, other, every = sockets.bind(("127.0.0.1", 0)), sockets.bind(("127.0.0.1", 0)), sockets.bind(("", 0))
    again = one.dup()
    given = [("a", one), ("b", other), ("c", every), ("d", again)]
    ports = [sockets.port_of(listening) for _, listening in given]
    keys = [
        ("localhost", ports[0]),
        ("192.0.2.1", ports[1]),
        ("", ports[2]),
        ("no.such.host.invalid", ports[1]),
    ]
    assert by_address(given, keys) == {
        ("localhost", ports[0]): [one, again],
        ("127.0.0.1", ports[1]): [other],
        ("", ports[2]): [every],
    }
    for _, listening in given:
        listening.close()


def test_what_does_not_listen_is_named() -> None:
    with socket.socket() as idle, socket.socket(socket.AF_UNIX) as unix:
        for one in (idle, unix):
            with pytest.raises(ValueError, match="the socket 'web' of the service manager does not listen"):
                by_address([("web", one)], [])


def test_children_take_no_socket_for_theirs() -> None:
    env = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a", "HOME": "/"}
    service_manager.forget_sockets(env)
    assert env == {"HOME": "/"}
