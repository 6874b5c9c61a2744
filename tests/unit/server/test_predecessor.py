"""Whose place is taken: what it hands over, and every way in which it may go."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from posthouse import __version__
from posthouse.balance.active_health import State
from posthouse.errors import StartError
from posthouse.server import predecessor
from posthouse.server.handover import VARIABLE, Handover
from posthouse.server.predecessor import Predecessor, find

BELIEF = {"pool": "p", "backend": "b", "state": "down", "reason": "status 503", "since": 7.0}


def lines() -> tuple[Handover, Predecessor]:
    ours, theirs = socket.socketpair()
    return Handover(ours), Predecessor(Handover(theirs))


def test_it_takes_what_is_offered() -> None:
    ours, taking = lines()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        async def offer() -> None:
            await ours.say(
                "offer", version="1.0", pid=4711, novelty=1, orders=[{"pool": "p"}], beliefs=[BELIEF]
            )
            await ours.say("sockets", [listening.fileno()] * 2, sockets=[["", 80, 2, False]])
            await ours.say("sockets", [listening.fileno()], sockets=[["", 80, 1, False]])
            await ours.say("sockets", [listening.fileno()], sockets=[["::1", 81, 1, True]])
            await ours.say("admin", [listening.fileno()], addresses=[["::1", 9]])
            await ours.say("begin")

        asyncio.run(offer())
        taking.take()
        assert (taking.pid, taking.version) == (4711, "1.0")
        assert [len(made) for made in taking.sockets.values()] == [3]
        assert [name for name, _ in taking.given] == ["::1:81"]
        assert taking.orders == [{"pool": "p"}]
        assert [(key, one.state) for key, one in taking.beliefs.items()] == [(("p", "b"), State.DOWN)]
        made = [*taking.sockets["", 80], taking.given[0][1], taking.admin["::1", 9]]
        assert {one.getsockname() for one in made} == {listening.getsockname()}
        assert repr(taking) == "<Predecessor pid=4711 version='1.0'>"
        for one in made:
            assert one.gettimeout() == 0
            one.close()
    taking.refuse("so be it", ["a:1:2: b"])
    said = asyncio.run(ours.hear())
    assert (said.what, said.about) == ("failed", {"reason": "so be it", "shown": ["a:1:2: b"]})
    ours.close()


def test_one_that_ends_before_it_has_said_what(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, taking = lines()
    ours.close()
    with pytest.raises(StartError, match="nothing was handed over: it ended before it had said what"):
        taking.take()
    taking.refuse("")
    ours, taking = lines()
    monkeypatch.setattr(predecessor, "OFFER_SECONDS", 0.01)
    with pytest.raises(StartError, match="nothing was handed over"):
        taking.take()
    taking.refuse("")
    ours.close()


def test_it_lets_go(loop: asyncio.AbstractEventLoop) -> None:
    ours, taking = lines()

    async def conversation() -> None:
        releasing = asyncio.ensure_future(taking.release())
        said = await ours.hear()
        assert (said.what, said.about) == ("serving", {"version": __version__, "pid": os.getpid()})
        assert not releasing.done()
        await ours.say("released", orders=[{"pool": "q"}])
        assert await releasing
        assert taking.orders == [{"pool": "q"}], "as they are at last"
        taking.admin["::1", 9] = unwanted = socket.socket()
        await taking.settle()
        assert (await ours.hear()).what == "settled"
        assert unwanted.fileno() < 0
        ours.close()

    loop.run_until_complete(conversation())


def test_one_that_is_gone_or_hangs_holds_up_nobody(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, taking = lines()
    ours.close()
    assert not loop.run_until_complete(taking.release())
    loop.run_until_complete(taking.settle())
    ours, taking = lines()
    monkeypatch.setattr(predecessor, "RELEASE_SECONDS", 0.01)
    assert not loop.run_until_complete(taking.release())
    taking.refuse("")
    ours.close()


def test_found_by_the_environment_and_forgotten_there() -> None:
    ours, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    env = {VARIABLE: str(theirs.detach())}
    found = find(env)
    assert found is not None and env == {}
    found.refuse("no")
    assert b"failed" in ours.recv(100)
    ours.close()


@pytest.mark.parametrize("text", ["", "x", "-1", "99999", "9" * 40])
def test_nothing_to_find(text: str) -> None:
    env = {VARIABLE: text} if text else {}
    assert find(env) is None
    assert env == {}


def test_a_file_is_no_line() -> None:
    with open(os.devnull) as file:
        assert find({VARIABLE: str(file.fileno())}) is None
        assert not file.closed
