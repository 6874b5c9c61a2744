"""Priorities: of all usable backends, those of the lowest number are chosen from (RFC 2782)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from posthouse.balance.backend import Backend
from posthouse.config.specs import PoolSpec


def priorities_of(backends: Sequence[Backend], spec: PoolSpec) -> dict[Backend, int]:
    """The priority of each backend; empty if all have the same."""
    if len({endpoint.priority for endpoint in spec.endpoints}) < 2:
        return {}
    return {backend: endpoint.priority for backend, endpoint in zip(backends, spec.endpoints, strict=True)}


def first_group(
    backends: Sequence[Backend], priorities: Mapping[Backend, int]
) -> tuple[tuple[Backend, ...], tuple[Backend, ...]]:
    """Those of the lowest number, and the rest; the order stays."""
    first = min((priorities[backend] for backend in backends), default=0)
    chosen = tuple([backend for backend in backends if priorities[backend] == first])
    return chosen, tuple([backend for backend in backends if priorities[backend] != first])
