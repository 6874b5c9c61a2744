"""How many descriptors the process may have, and how many connections that allows."""

from __future__ import annotations

import resource

FALLBACK = 1024
"""Assumed where the system gives no number (RLIM_INFINITY): the usual soft limit."""


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


def connection_limit(descriptors: int) -> int:
    """Downstream connections of one worker: half of the descriptors; the rest is for backends and files."""
    return max(1, descriptors // 2)
