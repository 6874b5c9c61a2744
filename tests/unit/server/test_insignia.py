"""What only one process can have: taken, given up, taken back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

from posthouse.server.insignia import Insignia


class Parts:
    """Admin socket and service manager, which remember what was asked of them."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.admin = self.manager = self

    def claim(self) -> None:
        self.story.append("claim")

    async def serve(self) -> None:
        self.story.append("serve")

    def listening(self) -> dict[tuple[str, int], str]:
        return {("::1", 9): "a socket"}

    def give_up(self) -> None:
        self.story.append("give up")

    def close(self) -> None:
        self.story.append("close")

    def ready(self) -> None:
        self.story.append("ready")

    def hand_over(self, pid: int) -> None:
        self.story.append(f"hand over to {pid}")


def test_taken_given_up_and_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    parts = Parts()
    insignia = Insignia(cast("Any", parts), str(path))
    insignia.take()
    asyncio.run(insignia.serve())
    assert path.read_text() == f"{os.getpid()}\n"
    assert list(insignia.listening()) == [("::1", 9)]
    insignia.give_up()
    assert parts.story == ["claim", "serve", "give up"], "systemd is told when nothing can go wrong any more"
    path.write_text("4711\n")
    asyncio.run(insignia.take_back())
    assert path.read_text() == f"{os.getpid()}\n"
    assert parts.story[3:] == ["claim", "serve", "ready"]
    insignia.hand_over(4711)
    assert parts.story[6:] == ["hand over to 4711"]
    insignia.close()
    assert not path.exists()


def test_without_any_and_with_somebody_elses(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("4711\n")
    parts = Parts()
    parts.admin = cast("Any", None)
    insignia = Insignia(cast("Any", parts), str(path))
    insignia.close()
    assert path.read_text() == "4711\n", "the successor's"
    without = Insignia(cast("Any", parts), "")
    without.take()
    asyncio.run(without.serve())
    without.give_up()
    assert without.listening() == {}
    without.close()
    assert repr(without) == "<Insignia None ''>"
