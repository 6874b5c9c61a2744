"""What `posthouse version` says of accelerators."""

from __future__ import annotations

import pytest

from posthouse import _build
from posthouse.errors import StartError
from posthouse.server import loops


def test_the_loop_with_its_version() -> None:
    pytest.importorskip("uvloop", reason="uvloop is not installed")
    assert _build.live("uvloop")["event loop"].startswith("uvloop 0.")


def test_asyncio_by_choice_and_for_want_of_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "has_uvloop", lambda: True)
    assert _build.live("asyncio")["event loop"] == "asyncio"
    monkeypatch.setattr(loops, "has_uvloop", lambda: False)
    assert _build.live()["event loop"].startswith("asyncio (uvloop is not installed")


def test_what_else() -> None:
    assert _build.live("asyncio")["http/1"] == "pure Python"
    with pytest.raises(StartError):
        _build.live("trio")
