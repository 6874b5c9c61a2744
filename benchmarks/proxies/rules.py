"""The twelve header rules of the row `rules`, as data that each proxy writes in its own language.

Half of them on the request, half on the response; in each half constants, values of the request, and one removal.
"""

from __future__ import annotations

from enum import Enum


class Value(Enum):
    """A value that a request has."""

    CLIENT = "address of the client, without port"
    URI = "path and query"
    HOST = "the Host field as sent"
    AGENT = "the User-Agent field"


REQUEST: dict[str, str | Value] = {
    "X-Edge": "edge-1",
    "X-Real-Ip": Value.CLIENT,
    "X-Original-Uri": Value.URI,
    "X-Site": Value.HOST,
    "X-Agent": Value.AGENT,
}
REQUEST_REMOVED = "Cache-Control"
"""The load of the row sends it."""

RESPONSE: dict[str, str | Value] = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private",
    "X-Served": Value.HOST,
}
RESPONSE_REMOVED = "X-Powered-By"
"""The backend of the row sends it."""


def written(rules: dict[str, str | Value], words: dict[Value, str]) -> dict[str, str]:
    """The rules with each value of the request in a proxy's own words."""
    return {name: words[value] if isinstance(value, Value) else value for name, value in rules.items()}
