"""Which event loop serves: uvloop where it installs, asyncio otherwise. The code is the same for both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec

from posthouse.errors import StartError

CHOICES = ("uvloop", "asyncio")


def choose(wanted: str = "") -> str:
    """The name of the loop to use: "uvloop" or "asyncio".

    `wanted` is the value of POSTHOUSE_LOOP, "" = the best that is installed.
    Raises StartError when `wanted` is unknown or not installed.
    """
    if wanted and wanted not in CHOICES:
        raise StartError(f"POSTHOUSE_LOOP is {wanted!r}, expected one of: {', '.join(CHOICES)}")
    if wanted == "uvloop" and not has_uvloop():
        raise StartError("POSTHOUSE_LOOP asks for uvloop, which is not installed")
    return wanted or ("uvloop" if has_uvloop() else "asyncio")


def has_uvloop() -> bool:
    """Whether uvloop is installed (it does not import it)."""
    return find_spec("uvloop") is not None


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop of that name (one that `choose` returned)."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop  # type: ignore[no-any-return,unused-ignore]
    return asyncio.new_event_loop
