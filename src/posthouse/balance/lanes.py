"""Lanes: what idle connections of a backend are kept under."""

from __future__ import annotations

from collections.abc import Hashable

from posthouse.balance.backend import Backend


def warm_key(backend: Backend, tls: Hashable | None) -> Hashable:
    """With another TLS identity they are another's: one that was verified by other rules, or with another certificate
    of ours, must not be used (reliability.md 2.18)."""
    return backend if tls is None else (backend, tls)
