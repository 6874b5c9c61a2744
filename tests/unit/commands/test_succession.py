"""Whether somebody's place is taken, and what that one is told."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.cli import main
from posthouse.commands import succession
from posthouse.commands.command_line import Given
from posthouse.errors import StartError
from posthouse.server import handover
from posthouse.server.handover import Handover


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Handover]:
    """The other end of what this process finds in its environment."""
    ours, theirs = socket.socketpair()
    monkeypatch.setenv(succession.VARIABLE, str(theirs.detach()))
    succession._found.cache_clear()
    yield Handover(ours)
    ours.close()
    found = succession._found()
    if found is not None:
        found._line.close()
    succession._found.cache_clear()


def test_the_name_is_the_same() -> None:
    assert succession.VARIABLE == handover.VARIABLE


def test_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(succession.VARIABLE, raising=False)
    succession._found.cache_clear()
    assert succession.predecessor() is None
    succession.refuse(StartError("no"))


def test_it_is_taken_once(line: Handover) -> None:
    async def offer() -> None:
        await line.say("offer", version="1.0", pid=4711)
        await line.say("begin")

    asyncio.run(offer())
    found = succession.predecessor()
    assert found is not None and found.pid == 4711
    assert succession.predecessor() is found
    assert succession.VARIABLE not in os.environ


def test_it_is_told_of_mistakes(line: Handover) -> None:
    with pytest.raises(AdaptError) as caught:
        adapt("a.test\nprxy / b\n", "Caddyfile")
    succession.refuse(caught.value)
    said = asyncio.run(line.hear())
    assert said.about["reason"] == "1 mistake in its configuration"
    assert said.about["shown"][0].startswith("Caddyfile:2:1: unknown directive `prxy`\n  2 | prxy / b\n")


def test_it_is_told_of_a_wrong_command_line(line: Handover, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--no-such-option"]) == 2
    said = asyncio.run(line.hear())
    assert said.what == "failed" and "--no-such-option" in said.about["reason"]
    assert "--no-such-option" in capsys.readouterr().err


def test_who_cannot_be_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = succession.origin(Given({"--config": ["-"]}, []), has_sockets=False)
    assert stdin.refusal == "the configuration came from stdin, and cannot be read again"
    assert succession.origin(Given({}, []), has_sockets=True).refusal == "a demo ends with its backends"
    plain = succession.origin(Given({}, []), has_sockets=False)
    assert plain.refusal == "" and plain.words
