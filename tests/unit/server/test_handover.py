"""The line between two supervisors: JSON and descriptors, whole, whatever the versions."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from posthouse.server.handover import MOST_DESCRIPTORS, Handover

Talk = Callable[[Handover, Handover], Coroutine[Any, Any, None]]


def talk(loop: asyncio.AbstractEventLoop, conversation: Talk) -> None:
    one, other = (Handover(end) for end in socket.socketpair())
    try:
        loop.run_until_complete(asyncio.wait_for(conversation(one, other), 10))
    finally:
        one.close()
        other.close()


def test_what_is_said_is_heard_with_its_descriptors(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(one: Handover, other: Handover) -> None:
        with socket.socket() as listening:
            await one.say("sockets", [listening.fileno()] * MOST_DESCRIPTORS, sockets=[["ä", 80, 1, False]])
            await one.say("begin")
            said = await other.hear()
            assert (said.what, said.about) == ("sockets", {"sockets": [["ä", 80, 1, False]]})
            assert len(said.descriptors) == MOST_DESCRIPTORS
            assert {os.fstat(each).st_ino for each in said.descriptors} == {
                os.fstat(listening.fileno()).st_ino
            }
            for each in said.descriptors:
                assert not os.get_inheritable(each)
                os.close(each)
        assert (await other.hear()).what == "begin"

    talk(loop, conversation)


def test_more_than_the_socket_takes(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(one: Handover, other: Handover) -> None:
        saying = asyncio.ensure_future(one.say("failed", shown=["x" * 2_000_000]))
        await asyncio.sleep(0)
        assert not saying.done()
        assert len((await other.hear()).about["shown"][0]) == 2_000_000
        await saying

    talk(loop, conversation)


def test_words_of_another_version_are_ignored(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(one: Handover, other: Handover) -> None:
        with socket.socket() as listening:
            await one.say("novelty", [listening.fileno()], depth=7)
        await one.say("serving", version="9", colour="green")
        before = len(os.listdir("/proc/self/fd"))
        assert (await other.expect("serving", "failed")).about["version"] == "9"
        assert len(os.listdir("/proc/self/fd")) == before

    talk(loop, conversation)


def test_the_last_word_and_the_end(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(one: Handover, other: Handover) -> None:
        one.say_last("failed", reason="no")
        assert (await other.hear()).about == {"reason": "no"}
        with pytest.raises(EOFError):
            await other.hear()
        other.say_last("failed", reason="nobody hears it")
        assert repr(other) == "<Handover fd=-1>"

    talk(loop, conversation)


@pytest.mark.parametrize("frame", [b"nonsense", b"[1]"])
def test_what_is_no_message(loop: asyncio.AbstractEventLoop, frame: bytes) -> None:
    async def conversation() -> None:
        theirs, ours = socket.socketpair()
        with theirs:
            theirs.sendall(struct.pack("!IH", len(frame), 0) + frame)
            line = Handover(ours)
            with pytest.raises(ValueError):
                await line.hear()
            line.close()

    loop.run_until_complete(conversation())


def test_descriptors_that_were_lost(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation() -> None:
        theirs, ours = socket.socketpair()
        with theirs:
            theirs.sendall(struct.pack("!IH", 2, 1) + b"{}")
            line = Handover(ours)
            with pytest.raises(ValueError, match="descriptors were lost"):
                await line.hear()
            line.close()

    loop.run_until_complete(conversation())
