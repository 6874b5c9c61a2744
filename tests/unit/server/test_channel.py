"""The channel: whole messages with their descriptors, whatever the sizes; two versions don't talk."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest

from posthouse.errors import NOWHERE, Mistake, Place
from posthouse.server import channel as module
from posthouse.server.channel import Channel, Frames, greet
from unit.server.fakes import until


class End:
    """One end, and what came there."""

    def __init__(
        self, connection: socket.socket, *, is_greeted: bool = False, classes: tuple[type, ...] | None = None
    ) -> None:
        self.heard: list[tuple[object, list[int]]] = []
        self.ended: list[str] = []
        loop = asyncio.get_running_loop()
        self.channel = Channel(connection, loop, self._hear, self.ended.append, is_greeted=is_greeted)
        if classes is not None:
            self.channel.read_only(classes)

    def _hear(self, message: object, descriptors: list[int]) -> None:
        self.heard.append((message, descriptors))


def test_frames_are_cut_anywhere() -> None:
    whole = module._HEADER.pack(3, 0) + b"abc" + module._HEADER.pack(0, 0) + module._HEADER.pack(1, 0) + b"x"
    for cut in range(len(whole) + 1):
        frames = Frames()
        assert frames.feed(whole[:cut]) + frames.feed(whole[cut:]) == [(b"abc", []), (b"", []), (b"x", [])]


def test_missing_descriptors_are_noticed() -> None:
    with pytest.raises(IndexError):
        Frames().feed(module._HEADER.pack(0, 1))


def test_descriptors_go_with_their_message() -> None:
    frames = Frames()
    assert frames.feed(module._HEADER.pack(1, 2) + b"a", [7, 8]) == [(b"a", [7, 8])]
    frames.feed(b"", [9])
    assert frames.feed(module._HEADER.pack(1, 1) + b"b") == [(b"b", [9])]


def test_messages_both_ways_in_order(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        left, right = (End(one) for one in socket.socketpair())
        read, write = os.pipe()
        big = os.urandom(3 << 20)
        left.channel.send(big)
        left.channel.send("with a descriptor", [write])
        os.close(write)
        left.channel.send("last")
        right.channel.send(("back", 1))
        await until(lambda: len(right.heard) == 3 and left.heard)
        assert left.heard == [(("back", 1), [])]
        assert [message for message, _ in right.heard] == [big, "with a descriptor", "last"]
        (theirs,) = right.heard[1][1]
        assert not os.get_inheritable(theirs)
        os.write(theirs, b"through")
        assert os.read(read, 10) == b"through"
        os.close(theirs)
        os.close(read)
        assert left.channel.is_greeted
        left.channel.close()
        left.channel.send("to nobody")
        await until(lambda: right.ended)
        assert right.ended == [""]
        assert left.ended == [], "who closes knows"
        left.channel.close()

    loop.run_until_complete(conversation())


def test_another_version_is_refused(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        ours, theirs = socket.socketpair()
        end = End(ours)
        theirs.send(module._HEADER.pack(14, 0) + b"posthouse 9.9\n")
        await until(lambda: end.ended)
        assert end.heard == []
        ours_is = module.HELLO.decode()
        expected = f"supervisor and worker are of two versions: {ours_is}, and 'posthouse 9.9\\n' answered"
        assert end.ended == [expected]
        assert module.version_of(b"posthouse 9.9") == "9.9"
        theirs.close()

    loop.run_until_complete(conversation())


def test_lost_descriptors_end_it(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        ours, theirs = socket.socketpair()
        end = End(ours, is_greeted=True)
        theirs.send(module._HEADER.pack(0, 1))
        await until(lambda: end.ended)
        assert end.ended == ["descriptors were lost on the way: this process may open no more"]
        theirs.close()

    loop.run_until_complete(conversation())


def test_a_worker_is_greeted_before_it_has_a_loop(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        ours, theirs = socket.socketpair()
        end = End(ours)
        end.channel.send({"who": "you"})
        end.channel.send("next")
        first = await loop.run_in_executor(None, greet, theirs)
        assert first == {"who": "you"}
        worker = End(theirs, is_greeted=True)
        worker.channel.send("here")
        await until(lambda: worker.heard and end.heard)
        assert (worker.heard, end.heard) == ([("next", [])], [("here", [])])
        for one in (end, worker):
            one.channel.close()

    loop.run_until_complete(conversation())


def test_greeting_nobody_and_another_version() -> None:
    for sent, raised in ((b"", EOFError), (module._HEADER.pack(3, 0) + b"old", ValueError)):
        ours, theirs = socket.socketpair()
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(raised):
            greet(ours)
        ours.close()
        theirs.close()


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


@pytest.mark.parametrize("message", [Bomb(), Mistake(NOWHERE, "x"), print])
def test_who_may_not_be_trusted_says_only_what_is_known(
    message: object, loop: asyncio.AbstractEventLoop
) -> None:
    async def conversation() -> None:
        ours, theirs = socket.socketpair()
        careful, other = End(ours, is_greeted=True, classes=(Place,)), End(theirs, is_greeted=True)
        other.channel.send((1, "two", {"three": [Place("C", 1, 2)]}))
        await until(lambda: careful.heard)
        assert careful.heard == [((1, "two", {"three": [Place("C", 1, 2)]}), [])]
        other.channel.send(message)
        await until(lambda: careful.ended)
        assert careful.ended[0].startswith("it said what cannot be understood: UnpicklingError(")
        assert len(careful.heard) == 1
        other.channel.close()

    loop.run_until_complete(conversation())


def test_bytes_that_are_no_message_end_it(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        for data in (b"", b"\x80", b"garbage", b"\x80\x05]\x94(."):
            ours, theirs = socket.socketpair()
            careful = End(ours, is_greeted=True, classes=(Place,))
            theirs.send(module._HEADER.pack(len(data), 0) + data)
            await until(lambda careful=careful: careful.ended)  # type: ignore[misc]
            assert careful.heard == []
            theirs.close()

    loop.run_until_complete(conversation())


def test_a_descriptor_is_held_back(loop: asyncio.AbstractEventLoop) -> None:
    """Given back for the time of reading, and at the end."""

    async def conversation() -> None:
        ours, theirs = socket.socketpair()
        end, boss = End(ours, is_greeted=True), End(theirs, is_greeted=True)
        before = len(os.listdir("/proc/self/fd"))
        end.channel.keep_room()
        assert len(os.listdir("/proc/self/fd")) == before + 1
        for number in range(3):
            boss.channel.send(number)
            await until(lambda number=number: len(end.heard) > number)  # type: ignore[misc]
        assert len(os.listdir("/proc/self/fd")) == before + 1
        end.channel.close()
        boss.channel.close()
        assert len(os.listdir("/proc/self/fd")) == before - 2

    loop.run_until_complete(conversation())
