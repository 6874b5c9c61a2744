"""A worker's process: put together from real parts, told everything through its channel; builds that touch nothing."""

from __future__ import annotations

import gc
import os
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.adapt import adapt
from posthouse.balance.orders import Kind, Order, Orders
from posthouse.config.delta import make_delta
from posthouse.config.specs import Config, PolicySpec
from posthouse.errors import ConfigError, StartError
from posthouse.server.channel import _HEADER, Frames
from posthouse.server.control import (
    Abort,
    Ended,
    Measure,
    Measured,
    Obey,
    Obeyed,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Refused,
    Reopened,
    ReopenLog,
    ReopenLogs,
    TidyLog,
    Welcome,
)
from posthouse.server.process import Process, dry_build, judge_policies, what_to_check


class Boss:
    """The supervisor's end of the channel: a blocking socket that says everything at once and reads at the end."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()

    def say(self, message: object) -> None:
        data = pickle.dumps(message)
        self.ours.sendall(_HEADER.pack(len(data), 0) + data)

    def heard(self) -> list[object]:
        self.ours.shutdown(socket.SHUT_WR)
        data = b""
        while piece := self.ours.recv(65536):
            data += piece
        return [pickle.loads(frame) for frame, _ in Frames().feed(data)]


@pytest.fixture
def boss(monkeypatch: pytest.MonkeyPatch) -> Iterator[Boss]:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    made = Boss()
    yield made
    made.ours.close()
    made.theirs.close()
    gc.enable()


def config_of(text: str) -> Config:
    return adapt(text, "Caddyfile").config


def test_it_does_what_it_is_told_and_ends(boss: Boss, tmp_path: Path) -> None:
    access, log = tmp_path / "access.log", tmp_path / "process.log"
    process = Process(Welcome(1, 2, log=str(log), secret=b"key"), boss.theirs, "asyncio")
    wrong = config_of(":0 {\n proxy / a:1 {\n  policy nope\n }\n}\n")
    boss.say(Obey(Orders().given("nobody's", "a", Order(Kind.DRAIN, 1.0))))
    boss.say(Prepare(4, wrong))
    boss.say(Prepare(4, config_of(f":0 {{\n log {access}\n proxy / a:1\n}}\n")))
    boss.say(ReopenLog(str(access), 9))
    boss.say(TidyLog(str(access)))
    boss.say(ReopenLogs())
    boss.say(Ping())
    process.loop.call_later(0.1, boss.say, Abort())
    assert process.serve() == 2
    process.loop.close()
    heard = boss.heard()
    (refused,) = (one for one in heard if isinstance(one, Refused))
    assert refused.mistakes[0].message == "unknown policy `nope`"
    assert {one for one in heard if one != refused} == {
        *(Obeyed(), Prepared(4), Reopened(str(access), 9, is_done=True), Pong(0), Ended(0))
    }
    assert log.exists()


def test_every_line_says_whose_it_is(boss: Boss, tmp_path: Path) -> None:
    log = tmp_path / "process.log"
    process = Process(Welcome(1, 2, log=str(log)), boss.theirs, "asyncio")
    process.log.warn("something", cause="x")
    boss.ours.shutdown(socket.SHUT_WR)
    assert process.serve() == 0, "the supervisor is gone"
    process.loop.close()
    first, second = log.read_text().splitlines()
    assert first.endswith(" WARN something cause=x worker=1")
    assert second.endswith(' WARN supervisor gone, draining reason="its channel ended" worker=1')


def test_only_the_first_of_several_rotates(boss: Boss) -> None:
    for slot, workers, is_rotating in ((0, 1, True), (0, 2, True), (1, 2, False)):
        process = Process(Welcome(slot, workers), boss.theirs.dup(), "asyncio")
        assert process._runtime.logs._is_rotating is is_rotating
        process._channel.close()
        process.loop.close()


def test_a_dry_build_finds_what_only_building_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dry_build(adapt(":80 {\n log\n log /x b.log\n proxy / a:1\n}\n", "Caddyfile").config)
    assert os.listdir() == []
    with pytest.raises(ConfigError, match="policy"):
        dry_build(adapt(":80 {\n proxy / a:1 {\n  policy nope\n }\n}\n", "Caddyfile").config)


def test_what_has_changed_is_checked_and_what_may_have(tmp_path: Path) -> None:
    keyed = f":82 {{\n basicauth / u htpasswd={tmp_path}/f\n}}\n"
    old = config_of(":80 {\n}\n:81 {\n proxy / a:1\n}\n" + keyed)
    new = config_of(":80 {\n}\n:81 {\n proxy / b:1\n}\n" + keyed)
    assert what_to_check(new, make_delta(old, new)).sites == new.sites[1:]


def test_it_counts_from_the_start_if_the_group_does(boss: Boss) -> None:
    for is_counting in (False, True):
        process = Process(Welcome(0, 1, is_counting=is_counting), boss.theirs.dup(), "asyncio")
        assert (process._runtime.metrics is not None) is is_counting
        process._channel.close()
        process.loop.close()


def test_it_tells_what_it_has_counted(boss: Boss) -> None:
    process = Process(Welcome(0, 1), boss.theirs, "asyncio")
    boss.say(Measure(4))
    process.loop.call_later(0.1, boss.say, Abort())
    assert process.serve() == 2
    process.loop.close()
    (measured,) = (one for one in boss.heard() if isinstance(one, Measured))
    assert measured.round == 4 and measured.piece.value("posthouse_workers") == 1


def test_the_loop_is_chosen_before_anything_else(boss: Boss) -> None:
    with pytest.raises(StartError, match="POSTHOUSE_LOOP"):
        Process(Welcome(0, 1), boss.theirs, "trio")


def test_policies_are_judged_without_a_pool() -> None:
    names = ["random", "first", "round_robin", "least_conn", "ip_hash", "uri_hash"]
    assert judge_policies([*map(PolicySpec, names), PolicySpec("header", ("X",))]) == []
    (unknown, superfluous) = judge_policies([PolicySpec("frist"), PolicySpec("first", ("x",))])
    assert unknown.hint == "did you mean `first`?"
    assert "too many arguments for `policy first`" in superfluous.message
