"""SharedKeeper: files put aside are seen to when nobody writes to them any more."""

from __future__ import annotations

from posthouse.observe.rotation import Rotation
from posthouse.server.control import LogMoved
from posthouse.server.shared_keeper import SharedKeeper


def test_it_asks_first_and_keeps_the_last_word() -> None:
    asked: list[tuple[str, Rotation]] = []
    told: list[object] = []

    class Keeper:
        def ask(self, path: str, rotation: Rotation) -> None:
            asked.append((path, rotation))

    keeper = SharedKeeper(Keeper(), told.append)
    keeper.ask("a.log", Rotation(1))
    keeper.ask("a.log", Rotation(2))
    assert (told, asked) == ([LogMoved("a.log", 1), LogMoved("a.log", 2)], [])
    assert repr(keeper) == "<SharedKeeper waiting=1>"
    keeper.tidy("a.log")
    keeper.tidy("a.log")
    keeper.tidy("b.log")
    assert asked == [("a.log", Rotation(2))]
