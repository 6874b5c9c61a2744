"""Which event loop is chosen, with and without uvloop, asked for or not."""

from __future__ import annotations

import pytest

from posthouse.errors import StartError
from posthouse.server import loops


@pytest.mark.parametrize(
    ("wanted", "has_uvloop", "chosen"),
    [
        ("", True, "uvloop"),
        ("", False, "asyncio"),
        ("asyncio", True, "asyncio"),
        ("asyncio", False, "asyncio"),
        ("uvloop", True, "uvloop"),
    ],
)
def test_the_best_that_is_installed_unless_asked(
    wanted: str, has_uvloop: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "has_uvloop", lambda: has_uvloop)
    assert loops.choose(wanted) == chosen


def test_what_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "has_uvloop", lambda: False)
    with pytest.raises(StartError, match="uvloop, which is not installed"):
        loops.choose("uvloop")


def test_an_unknown_loop_is_refused() -> None:
    with pytest.raises(StartError, match="POSTHOUSE_LOOP is 'trio', expected one of: uvloop, asyncio"):
        loops.choose("trio")


@pytest.mark.parametrize("name", [name for name in loops.CHOICES if name != "uvloop" or loops.has_uvloop()])
def test_a_loop_of_that_name_is_made(name: str) -> None:
    loop = loops.factory(name)()
    try:
        assert type(loop).__module__.split(".")[0] == name
    finally:
        loop.close()
