"""How many descriptors the process may have, and how many connections that allows."""

from __future__ import annotations

import os
import resource

OWN = 32
"""Descriptors kept for the process itself: 9 (asyncio) to 13 (uvloop) are open from its start, and names that are
looked up, files that are rotated, health checks and commands need some for a moment."""

FALLBACK = 1024
"""Assumed where the system gives no number (RLIM_INFINITY): the usual soft limit."""


FEW = 4096
"""Less than this after raising is worth a warning: the hard limit of a service is 524288 where nobody lowers it, and
2000 clients for each worker are soon there."""


def raise_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one; returns what holds now.

    The soft limit is a default for programs that use select(2); an event loop does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # an unlimited hard limit may exceed what the kernel takes
            pass
        else:
            soft = hard
    return FALLBACK if soft == resource.RLIM_INFINITY else soft


def connection_limit(descriptors: int, listeners: int = 0, logs: int = 0) -> int:
    """Downstream connections of one worker: half of the descriptors that the process does not need for itself.

    The other half is for what each of them may need beside its own: a connection to a backend, or a file.
    listeners  listening addresses: each holds its socket and the duplicate that the event loop listens on
    logs       outputs that are open
    """
    return max(1, (descriptors - OWN - 2 * listeners - logs) // 2)


def check_room(count: int) -> None:
    """Raises OSError if the process could not open so many more now."""
    held: list[int] = []
    try:
        while len(held) < count:
            held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
        for descriptor in held:
            os.close(descriptor)
