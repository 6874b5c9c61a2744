"""All addresses of a worker: swapped without closing what stays, drained, cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import pytest

from posthouse.config.specs import TCPSpec
from posthouse.server import listeners, sockets
from posthouse.server.accepting import Admission
from posthouse.server.bindings import Bindings
from posthouse.server.listeners import Listeners, Served
from posthouse.server.sockets import ListenKey
from unit.server.fakes import EchoListener, Remembering, until

A: ListenKey = ("127.0.0.1", 0)
B: ListenKey = ("localhost", 0)
"""Two addresses with free ports: different keys, same interface."""


class Scene:
    """Listeners of echo connections, and clients that talk to them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
        self.made: list[EchoListener] = []
        self.admission = Admission(100, loop, log)
        self.bindings = Bindings(1)
        self.listeners = Listeners(self._make, self.admission, loop)

    def _make(self, plan: object) -> EchoListener:
        self.made.append(EchoListener(plan))
        return self.made[-1]

    async def serve(self, served: Mapping[ListenKey, str]) -> None:
        """Bind what is new and swap to these plans."""
        fresh = self.bindings.bind(served)
        self.bindings.take(fresh)
        self.bindings.leave(served)
        bound = {key: self.bindings.of(0)[key] for key in fresh}
        await self.listeners.swap({key: Served(plan) for key, plan in served.items()}, bound)

    async def client(self, key: ListenKey) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.bindings.ports()[key])

    async def say(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], word: bytes) -> bytes:
        """Say a word and hear the answer; b"" when the connection ended."""
        reader, writer = streams
        writer.write(word)
        return await asyncio.wait_for(reader.read(100), 5)

    async def end(self) -> None:
        await self.listeners.close()
        self.listeners.abort()
        await until(lambda: not self.listeners.connections())


def test_what_stays_keeps_its_socket_and_its_connections(
    loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    async def conversation() -> None:
        scene = Scene(loop, log)
        await scene.serve({A: "one"})
        port = scene.bindings.ports()[A]
        client = await scene.client(A)
        assert await scene.say(client, b"x") == b"one:x"

        await scene.serve({A: "two"})
        assert scene.bindings.ports() == {A: port}
        assert await scene.say(client, b"y") == b"two:y", "the same connection, the new plan"
        client[1].close()
        await scene.end()

    loop.run_until_complete(conversation())


def test_what_goes_is_drained_and_what_comes_is_served(
    loop: asyncio.AbstractEventLoop, log: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "IDLE_GRACE_SECONDS", 0.0)

    async def conversation() -> None:
        scene = Scene(loop, log)
        await scene.serve({A: "old"})
        idle, busy = await scene.client(A), await scene.client(A)
        assert await scene.say(idle, b"x") == b"old:x"
        assert await scene.say(busy, b"work") == b"old:work"

        await scene.serve({B: "new"})
        assert list(scene.bindings.ports()) == [B]
        assert scene.made[0].is_draining
        assert await idle[0].read() == b"", "closed after its moment of grace"
        assert await scene.say(busy, b"more") == b"old:more", "what runs goes on"
        fresh = await scene.client(B)
        assert await scene.say(fresh, b"x") == b"new:x"
        assert scene.listeners.connections() == 2
        for _, writer in (idle, busy, fresh):
            writer.close()
        await scene.end()

    loop.run_until_complete(conversation())


def test_closing_cuts_only_when_told(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        scene = Scene(loop, log)
        await scene.serve({A: "a", B: "b"})
        first, second = await scene.client(A), await scene.client(B)
        for client in (first, second):
            await scene.say(client, b"work")
        await scene.listeners.close()
        assert repr(scene.listeners) == "<Listeners 0 connections=2>"
        assert scene.listeners.abort() == 2
        await until(lambda: not scene.listeners.connections())
        for _, writer in (first, second):
            writer.close()

    loop.run_until_complete(conversation())


def test_who_waits_at_an_orphaned_socket_is_served(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        scene = Scene(loop, log)
        await scene.serve({A: "a"})
        orphan, nobodys = sockets.bind(A), sockets.bind(A)
        waiting = await asyncio.open_connection("127.0.0.1", sockets.port_of(orphan))
        lost = await asyncio.open_connection("127.0.0.1", sockets.port_of(nobodys))
        await scene.listeners.adopt(A, orphan)
        assert orphan.fileno() < 0
        assert await scene.say(waiting, b"x") == b"a:x"
        await scene.listeners.adopt(B, nobodys)
        assert await scene.say(lost, b"x") == b"", "nobody serves that address"
        for _, writer in (waiting, lost):
            writer.close()
        await scene.end()

    loop.run_until_complete(conversation())


def test_one_port_on_every_address_and_on_one(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        scene = Scene(loop, log)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        every, one = ("", port), ("127.0.0.1", port)
        await scene.serve({every: "every", one: "one"})
        client = await scene.client(one)
        assert await scene.say(client, b"x") == b"one:x"
        client[1].close()
        await scene.end()

    loop.run_until_complete(conversation())


def test_a_new_limit_counts_at_once(loop: asyncio.AbstractEventLoop, log: Remembering) -> None:
    async def conversation() -> None:
        scene = Scene(loop, log)
        await scene.serve({A: "a"})
        client = await scene.client(A)
        await scene.say(client, b"x")
        await scene.listeners.swap({A: Served("a", limit=1)}, {})
        assert log.of("accepting paused at the connection limit")[0]["most"] == 1
        assert repr(scene.listeners) == "<Listeners 1 connections=1>"
        client[1].close()
        await scene.end()

    loop.run_until_complete(conversation())


def test_settings_of_a_socket_change_while_it_listens(
    loop: asyncio.AbstractEventLoop, log: Remembering
) -> None:
    """Also those of one that was inherited; connections that are open keep what they had."""

    async def conversation() -> None:
        scene = Scene(loop, log)
        found, clients = [], []
        bound = {A: socket.create_server(("127.0.0.1", 0))}
        for tcp in (TCPSpec(), TCPSpec(7, 33.0), TCPSpec(8, None)):
            if bound:
                scene.bindings.take({A: (bound[A],)})
            await scene.listeners.swap({A: Served("plan", 0, tcp)}, bound)
            bound = {}
            clients.append(await scene.client(A))
            assert await scene.say(clients[-1], b"hello")
            [transport] = [one.transport for one in scene.made[0].connections if one.transport not in found]
            found.append(transport)
        shown = []
        for transport in found:
            sock = transport.get_extra_info("socket")
            is_on = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            shown.append(bool(is_on) and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
        assert shown == [180, 33, False]
        for _, writer in clients:
            writer.close()
        await scene.end()

    loop.run_until_complete(conversation())
