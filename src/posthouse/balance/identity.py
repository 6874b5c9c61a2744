"""What makes the backends of successive pools the same one, and what it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from posthouse.config.specs import EndpointSpec

BackendKey = tuple[str, int]
"""Endpoint text, occurrence number from 1."""


def keys_of(endpoints: Iterable[EndpointSpec]) -> Iterator[BackendKey]:
    """That of each endpoint of one pool, in their order."""
    occurrences: Counter[str] = Counter()
    for endpoint in endpoints:
        occurrences[endpoint.text] += 1
        yield endpoint.text, occurrences[endpoint.text]


def name_of(key: BackendKey) -> str:
    """For people: the text; a repeat gets "#2"."""
    text, occurrence = key
    return text if occurrence == 1 else f"{text}#{occurrence}"
