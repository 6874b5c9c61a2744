"""Accepting, pausing at a limit and going on: real loopback sockets, both kinds of event loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import partial
from typing import cast

import pytest

from posthouse.server import accepting, sockets
from posthouse.server.accepting import Acceptor, Admission
from unit.server.fakes import EchoListener, Remembering, until


class Door:
    """An acceptor on a free loopback port, with clients that knock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.listener = EchoListener("a")
        self.bound = sockets.bind(("127.0.0.1", 0))
        self.acceptor = Acceptor(("127.0.0.1", 0), self.bound, self.listener, loop)
        self.clients: list[socket.socket] = []

    def knock(self) -> socket.socket:
        """A further client; the kernel connects it whether anybody accepts or not."""
        client = socket.create_connection(self.bound.getsockname(), 5)
        self.clients.append(client)
        return client

    def has(self, count: int) -> bool:
        return self.inside() == count

    def inside(self) -> int:
        return len(self.listener.connections)

    async def close(self) -> None:
        await self.acceptor.close()
        self.listener.abort()
        await until(lambda: not self.inside())
        for client in self.clients:
            client.close()


def test_paused_nobody_is_refused(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        door = Door(loop)
        door.acceptor.accept()
        door.knock()
        await until(lambda: door.inside() == 1)

        door.acceptor.pause()
        late = door.knock()
        late.sendall(b"hello")
        await turns()
        assert door.inside() == 1
        assert not door.acceptor.is_accepting

        door.acceptor.accept()
        await until(lambda: door.inside() == 2)
        assert await loop.sock_recv(nonblocking(late), 100) == b"a:hello"
        await door.close()

    loop.run_until_complete(conversation())


def test_paused_while_it_begins(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        door = Door(loop)
        door.acceptor.accept()
        door.acceptor.pause()
        door.knock()
        await turns()
        assert door.inside() == 0
        await door.close()

    loop.run_until_complete(conversation())


def test_whoever_was_accepted_before_the_pause_is_served(loop: asyncio.AbstractEventLoop) -> None:
    """asyncio makes no transport for who was accepted by a server that is closed in the same turn."""

    async def conversation() -> None:
        door = Door(loop)
        clients = [door.knock() for _ in range(8)]
        for client in clients:
            client.sendall(b"hello")
        for _ in range(100):
            door.acceptor.accept()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            door.acceptor.pause()
            await turns()
        door.acceptor.accept()
        for client in clients:
            async with asyncio.timeout(5):
                assert await loop.sock_recv(nonblocking(client), 100) == b"a:hello"
        await door.close()

    loop.run_until_complete(conversation())


def test_begun_twice_it_accepts_once(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        door = Door(loop)
        door.acceptor.accept()
        door.acceptor.accept()
        door.acceptor.pause()
        door.acceptor.accept()
        door.knock()
        await until(lambda: door.inside() == 1)
        await turns()
        assert door.inside() == 1
        await door.close()

    loop.run_until_complete(conversation())


def test_closing_serves_those_who_wait(loop: asyncio.AbstractEventLoop) -> None:
    """The kernel has told them that they are connected: a reset would be a lost request."""

    async def conversation() -> None:
        door = Door(loop)
        waiting = [door.knock() for _ in range(3)]
        for client in waiting:
            client.sendall(b"hello")
        await door.acceptor.close()
        assert door.bound.fileno() == -1
        for client in waiting:
            assert await loop.sock_recv(nonblocking(client), 100) == b"a:hello"
        await door.close()

    loop.run_until_complete(conversation())


def test_at_the_limit_accepting_pauses_and_goes_on(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        door = Door(loop)
        admission = Admission(2, loop, log)
        admission.admit(door.acceptor)
        clients = [door.knock()]
        await until(lambda: door.inside() == 1)
        assert (admission.is_full, admission.full) == (False, 0)
        clients.append(door.knock())
        await until(lambda: not door.acceptor.is_accepting)
        late = door.knock()
        await turns()
        assert door.inside() == admission.count() == 2
        assert (admission.is_full, admission.full, admission.is_resting, admission.rests) == (
            True,
            1,
            False,
            0,
        )
        (warning,) = log.of("accepting paused at the connection limit")
        assert warning["level"] == "WARN"
        assert (warning["listener"], warning["connections"], warning["most"]) == ("127.0.0.1:0", 2, 2)

        clients[0].close()
        await until(lambda: door.acceptor.is_accepting or door.inside() == 2)
        late.sendall(b"hello")
        assert await loop.sock_recv(nonblocking(late), 100) == b"a:hello"
        assert len(log.lines()) == 1, "one line a minute, however often it pauses"
        await door.close()

    loop.run_until_complete(conversation())


def test_one_listener_at_its_own_limit_leaves_the_other_alone(
    loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    async def conversation() -> None:
        small, large = Door(loop), Door(loop)
        small.acceptor.limit = 1
        large.acceptor.key = ("127.0.0.1", 1)
        admission = Admission(100, loop, log)
        admission.admit(small.acceptor)
        admission.admit(large.acceptor)
        for door in (small, small, large, large):
            door.knock()
        await until(lambda: large.inside() == 2 and not small.acceptor.is_accepting)
        assert large.acceptor.is_accepting
        # The kernel may have handed over a second one in the same turn; no more than a burst.
        assert small.inside() >= 1

        small.acceptor.limit = 0
        admission.look()
        await until(lambda: small.inside() == 2)
        await small.close()
        await large.close()

    loop.run_until_complete(conversation())


def test_resumes_only_when_a_sixteenth_is_free(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        door = Door(loop)
        admission = Admission(32, loop, log, clock=lambda: 0.0)
        admission.admit(door.acceptor)
        clients = [door.knock() for _ in range(32)]
        await until(lambda: not door.acceptor.is_accepting)
        clients[0].close()
        await until(lambda: door.inside() == 31)
        assert not door.acceptor.is_accepting
        clients[1].close()
        await until(lambda: door.acceptor.is_accepting)
        assert door.listener.on_closed is None, "nobody is told of closed connections while there is room"
        await door.close()

    loop.run_until_complete(conversation())


def test_room_is_made_by_closing_who_has_been_idle_for_longest(
    loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    async def conversation() -> None:
        door, now = Door(loop), [0.0]
        admission = Admission(32, loop, log, clock=lambda: now[0])
        admission.admit(door.acceptor)
        for number in range(31):
            door.knock()
            await until(partial(door.has, number + 1))
        ages = list(door.listener.connections)
        for age, connection in enumerate(ages):
            connection.since = float(age)
        ages[0].is_busy = True
        now[0] = 1000.0
        door.knock()
        await until(lambda: door.inside() == 32)
        newest = next(one for one in door.listener.connections if one not in ages)
        newest.since = now[0]
        await until(lambda: door.acceptor.is_accepting and door.inside() == 30)
        assert door.listener.connections == {ages[0], *ages[3:], newest}
        (warning,) = log.of("accepting paused at the connection limit")
        assert warning["closed_idle"] == 2
        await door.close()

    loop.run_until_complete(conversation())


@pytest.mark.parametrize(("since", "is_closed"), [(9.0, True), (9.01, False)])
def test_who_was_busy_a_moment_ago_is_not_closed(
    loop: asyncio.AbstractEventLoop, log: Remembering, since: float, is_closed: bool
) -> None:
    """Its next request may be on its way."""

    async def conversation() -> None:
        door, now = Door(loop), [0.0]
        admission = Admission(2, loop, log, clock=lambda: now[0])
        admission.admit(door.acceptor)
        door.knock()
        await until(lambda: door.inside() == 1)
        (first,) = door.listener.connections
        first.since, now[0] = since, 10.0
        door.knock()
        await until(lambda: log.of("accepting paused at the connection limit"))
        await until(lambda: door.inside() == 1) if is_closed else await turns()
        assert (first not in door.listener.connections) == is_closed
        await door.close()

    loop.run_until_complete(conversation())


def test_who_becomes_idle_while_others_wait_makes_room(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def conversation() -> None:
        monkeypatch.setattr(accepting, "LOOK_SECONDS", 0.01)
        door = Door(loop)
        admission = Admission(1, loop, log, clock=lambda: 0.0)
        admission.admit(door.acceptor)
        door.knock()
        await until(lambda: not door.acceptor.is_accepting)
        (first,) = door.listener.connections
        late = door.knock()
        await turns()
        assert door.listener.connections == {first}
        first.since = -2.0
        late.sendall(b"hello")
        assert await loop.sock_recv(nonblocking(late), 100) == b"a:hello"
        await door.close()

    loop.run_until_complete(conversation())


def test_an_address_at_its_own_limit_closes_none_of_another(
    loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    async def conversation() -> None:
        small, large = Door(loop), Door(loop)
        small.acceptor.limit = 1
        large.acceptor.key = ("127.0.0.1", 1)
        admission = Admission(100, loop, log, clock=lambda: float("inf"))
        admission.admit(large.acceptor)
        large.knock()
        await until(lambda: large.inside() == 1)
        admission.admit(small.acceptor)
        small.knock()
        await until(lambda: log.of("accepting paused at the connection limit"))
        await until(lambda: small.acceptor.is_accepting and not small.inside())
        assert large.inside() == 1
        await small.close()
        await large.close()

    loop.run_until_complete(conversation())


def test_when_the_kernel_has_no_descriptor_accepting_rests(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def conversation() -> None:
        monkeypatch.setattr(accepting, "RETRY_SECONDS", 0.02)
        door = Door(loop)
        admission = Admission(100, loop, log, clock=lambda: float("inf"))
        admission.admit(door.acceptor)
        door.knock()
        await until(lambda: door.inside() == 1)
        admission.rest()
        admission.rest()
        await until(lambda: not door.acceptor.is_accepting)
        assert (admission.is_full, admission.full, admission.is_resting, admission.rests) == (
            False,
            0,
            True,
            1,
        )
        (warning,) = log.of("accepting rests: no descriptor left")
        assert (warning["connections"], warning["closed_idle"]) == (1, 1)
        late = door.knock()
        late.sendall(b"hello")
        assert await loop.sock_recv(nonblocking(late), 100) == b"a:hello"
        await door.close()

    loop.run_until_complete(conversation())


def test_without_a_descriptor_it_is_tried_again(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def conversation() -> None:
        door = Door(loop)
        admission = Admission(1, loop, log, clock=lambda: 0.0)
        admission.admit(door.acceptor)
        client = door.knock()
        await until(lambda: not door.acceptor.is_accepting)
        monkeypatch.setattr(accepting, "LOOK_SECONDS", 0.01)
        listening, door.acceptor.socket = door.acceptor.socket, cast(socket.socket, NoDescriptors())
        client.close()
        await until(lambda: not door.inside())
        assert not door.acceptor.is_accepting
        door.acceptor.socket = listening
        await until(lambda: door.acceptor.is_accepting)
        await door.close()

    loop.run_until_complete(conversation())


def test_dismissed_it_is_left_alone(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        door = Door(loop)
        admission = Admission(1, loop, log)
        admission.admit(door.acceptor)
        door.knock()
        await until(lambda: not door.acceptor.is_accepting)
        admission.dismiss(door.acceptor.key)
        assert door.listener.on_closed is None
        assert admission.count() == 0
        await door.close()

    loop.run_until_complete(conversation())


def test_live_objects_introduce_themselves(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        door = Door(loop)
        admission = Admission(7, loop, log)
        assert repr(door.acceptor) == "<Acceptor 127.0.0.1:0 paused connections=0>"
        admission.admit(door.acceptor)
        assert repr(door.acceptor) == "<Acceptor 127.0.0.1:0 accepting connections=0>"
        assert repr(admission) == "<Admission connections=0 limit=7>"
        await door.close()

    loop.run_until_complete(conversation())


class NoDescriptors:
    """A socket in a process that has none left."""

    def dup(self) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")


def nonblocking(client: socket.socket) -> socket.socket:
    client.setblocking(False)
    return client


async def turns() -> None:
    """Enough turns of the loop for anything that was to happen."""
    for _ in range(20):
        await asyncio.sleep(0)
