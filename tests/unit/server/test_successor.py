"""A process that is to take over: its line played by the test, and real ones that fail."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from posthouse import __version__
from posthouse.server.bindings import Offered
from posthouse.server.handover import VARIABLE, Handover
from posthouse.server.origin import Origin
from posthouse.server.successor import Bequest, Refused, Successor, launch

BELIEF = {"pool": "p", "backend": "b", "state": "down"}
ROW = {"pool": "p", "backend": "b", "order": "drain"}


class Process:
    """What a `subprocess.Popen` is to a successor."""

    pid = 4711

    def __init__(self, is_deaf: bool = False) -> None:
        self.code: int | None = None
        self.signals: list[int] = []
        self.is_deaf = is_deaf

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, number: int) -> None:
        self.signals.append(number)
        if not self.is_deaf or number == signal.SIGKILL:
            self.code = -number


class Scene:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.process = Process()
        self.line = Handover(theirs)
        self.successor = Successor(cast("Any", self.process), Handover(ours))


def play(loop: asyncio.AbstractEventLoop, conversation: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    scene = Scene()
    try:
        loop.run_until_complete(asyncio.wait_for(conversation(scene), 10))
    finally:
        scene.line.close()
        scene.successor.close()


def test_it_is_offered_all_and_takes_over(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(scene: Scene) -> None:
        with socket.socket() as one, socket.socket() as other:
            offered = [Offered(("", 80), False, (one,) * 201), Offered(("::1", 81), True, (other,))]
            serving = asyncio.ensure_future(
                scene.successor.serve(Bequest(offered, {("::1", 9): other}, [ROW], [BELIEF]), 5)
            )
            said = await scene.line.hear()
            assert (said.what, said.about) == (
                "offer",
                {"version": __version__, "pid": os.getpid(), "orders": [ROW], "beliefs": [BELIEF]},
            )
            counts = []
            while (said := await scene.line.hear()).what == "sockets":
                counts += said.about["sockets"]
                for each in said.descriptors:
                    os.close(each)
            assert counts == [["", 80, 200, False], ["", 80, 1, False], ["::1", 81, 1, True]]
            assert (said.what, said.about) == ("admin", {"addresses": [["::1", 9]]})
            os.close(*said.descriptors)
            assert (await scene.line.hear()).what == "begin"
        await scene.line.say("serving", version="9.9")
        await serving
        assert repr(scene.successor) == "<Successor pid=4711 version='9.9'>"
        settling = asyncio.ensure_future(scene.successor.settle([], 5))
        said = await scene.line.hear()
        assert (said.what, said.about) == ("released", {"orders": []})
        await scene.line.say("settled")
        await settling
        scene.successor.close()
        assert scene.process.signals == []

    play(loop, conversation)


def test_it_says_why_not(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.line.say("failed", reason="2 mistakes", shown=["a", "b"])
        with pytest.raises(Refused, match="2 mistakes") as refused:
            await scene.successor.serve(Bequest(), 5)
        assert refused.value.shown == ("a", "b")
        await scene.line.say("failed")
        with pytest.raises(Refused, match="it said no"):
            await scene.successor.settle([], 5)

    play(loop, conversation)


@pytest.mark.parametrize(("code", "told"), [(7, "exit code 7"), (-9, "signal 9")])
def test_it_ends_without_a_word(loop: asyncio.AbstractEventLoop, code: int, told: str) -> None:
    async def conversation(scene: Scene) -> None:
        scene.process.code = code
        scene.line.close()
        with pytest.raises(Refused, match=f"it ended with {told}; what it said is on stderr"):
            await scene.successor.serve(Bequest(), 5)
        with pytest.raises(Refused, match=told):
            await scene.successor.settle([], 5)

    play(loop, conversation)


def test_its_time_is_limited(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(scene: Scene) -> None:
        with pytest.raises(Refused, match=r"it did not serve within 0\.01s"):
            await scene.successor.serve(Bequest(), 0.01)
        with pytest.raises(Refused, match=r"it did not settle within 0\.01s"):
            await scene.successor.settle([], 0.01)
        await scene.line.say("serving", version="1")
        await scene.successor.serve(Bequest(), 5)

    play(loop, conversation)


def test_one_that_shall_not_is_ended(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.successor.end(5)
        assert scene.process.signals == [signal.SIGTERM]
        deaf = Scene()
        deaf.process.is_deaf = True
        await deaf.successor.end(0.01)
        assert deaf.process.signals == [signal.SIGTERM, signal.SIGKILL]
        deaf.line.close()

    play(loop, conversation)


def test_one_that_has_served_and_says_no_is_left_to_end_by_itself(loop: asyncio.AbstractEventLoop) -> None:
    async def conversation(scene: Scene) -> None:
        await scene.line.say("serving", version="9.9")
        await scene.successor.serve(Bequest(), 5)
        await scene.line.say("failed", reason="the disk is full")
        with pytest.raises(Refused, match="the disk is full"):
            await scene.successor.settle([], 5)
        await scene.successor.end(5)
        assert scene.process.signals == [], "it finishes what has come to it"

    play(loop, conversation)


def test_what_it_is_started_with(loop: asyncio.AbstractEventLoop, tmp_path: Any) -> None:
    script = (
        "import os, socket, sys\n"
        f"line = socket.socket(fileno=int(os.environ['{VARIABLE}']))\n"
        "assert 'WATCHDOG_PID' not in os.environ and 'LISTEN_FDS' not in os.environ\n"
        "assert os.environ['A'] == 'b' and os.getcwd() == sys.argv[1] and sys.stdin.read() == ''\n"
        'data = b\'{"say": "serving", "version": "7"}\'\n'
        "line.sendall(len(data).to_bytes(4, 'big') + b'\\0\\0' + data)\n"
        "line.recv(100)\n"
    )
    folder = os.path.realpath(tmp_path)
    env = {"A": "b", "WATCHDOG_PID": "1", "LISTEN_FDS": "2"}
    successor = launch(Origin((sys.executable, "-c", script, folder), folder), env)
    loop.run_until_complete(successor.serve(Bequest(), 30))
    assert successor.version == "7"
    loop.run_until_complete(successor.end(5))


def test_what_cannot_be_started(tmp_path: Any) -> None:
    with pytest.raises(Refused, match="cannot start /no/such in /: No such file or directory"):
        launch(Origin(("/no/such",), "/"), {})
    with pytest.raises(Refused, match=r"cannot start .* in /no/folder: "):
        launch(Origin((sys.executable,), "/no/folder"), {})
