"""Which accelerators are live: optional compiled parts that stand in for what pure Python does as well."""

from __future__ import annotations

from posthouse.server import loops


def live(wanted_loop: str = "") -> dict[str, str]:
    """Part -> what does it here. `wanted_loop` is the value of POSTHOUSE_LOOP.

    Raises StartError as `loops.choose` does.
    """
    return {"event loop": _event_loop(loops.choose(wanted_loop)), "http/1": "pure Python"}


def _event_loop(name: str) -> str:
    if name == "uvloop":
        from uvloop import _version

        return f"uvloop {_version.__version__}"
    return "asyncio" + (
        "" if loops.has_uvloop() else " (uvloop is not installed: it would be 2 to 4 times faster)"
    )
