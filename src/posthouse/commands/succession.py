"""Succession: whether this process was started to take another one's place, and how one could take its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from posthouse.commands import configuration
from posthouse.errors import ConfigError

if TYPE_CHECKING:
    from posthouse.commands.command_line import Given
    from posthouse.server.origin import Origin
    from posthouse.server.predecessor import Predecessor

VARIABLE = "POSTHOUSE_HANDOVER"
"""See `server/handover.py`, which nobody else has to import."""
NO_SOURCES: Mapping[str, str] = {}


def predecessor() -> Predecessor | None:
    """Whose place we take, with all that it hands over; None: nobody's. Raises StartError."""
    found = _found()
    if found is not None and not found.pid:
        found.take()
    return found


@cache
def _found() -> Predecessor | None:
    if VARIABLE not in os.environ:
        return None
    from posthouse.server.predecessor import find

    return find(os.environ)


def refuse(error: Exception, sources: Mapping[str, str] = NO_SOURCES) -> None:
    """Tell whose place we were to take, if anybody's, why we don't."""
    found = _found()
    if found is None:
        return
    if not isinstance(error, ConfigError):
        found.refuse(str(error))
        return
    from posthouse.caddyfile.messages import render

    texts = {**sources, **getattr(error, "sources", {})}
    count = len(error.mistakes)
    reason = f"{count} mistake{'s' if count > 1 else ''} in its configuration"
    found.refuse(reason, [render(mistake, texts) for mistake in error.mistakes])


def origin(given: Given, *, has_sockets: bool) -> Origin:
    """How this process was started. has_sockets: it serves at sockets that it has opened before (the demo)."""
    from posthouse.server.origin import origin_of

    refusal = ""
    if given.last("--config") == configuration.STDIN:
        refusal = "the configuration came from stdin, and cannot be read again"
    elif has_sockets:
        refusal = "a demo ends with its backends"
    return origin_of(sys.executable, sys.orig_argv, os.environ, refusal)
