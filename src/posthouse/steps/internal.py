"""`internal`: paths that only a backend can send a request to, with X-Accel-Redirect (proxy/dispatching.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.proxy.answer import Answer, Visit

_NOT_FOUND: Final = Answer(404)


class Internal:
    """The `internal` lines of a site. An internal redirect asks no step, so it passes."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[str]) -> None:
        """keys: paths as matchers compare them."""
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"<Internal {self._keys!r}>"

    def act(self, visit: Visit) -> Answer | None:
        """404 from outside."""
        return _NOT_FOUND if visit.key.startswith(self._keys) else None
