"""IdleConnections: warm connections to backends, kept for the next request."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from posthouse.net.upstream_h1 import UpstreamH1
    from posthouse.net.upstream_request import UpstreamRequest

IDLE_SECONDS: Final = 60.0
"""How long a connection to a backend is kept unused. Most backends close after 60 s or more; being first avoids the
race in which their close meets our request."""


class IdleConnections:
    """Idle connections by endpoint (and, with TLS, by identity); the latest used comes first."""

    __slots__ = ("_is_over", "_lanes", "_left")

    def __init__(self) -> None:
        self._lanes: dict[Hashable, list[Any]] = {}
        self._left: set[Hashable] = set()
        self._is_over = False

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def acquire(self, key: Hashable) -> UpstreamH1 | None:
        """A connection to use now, or None. It is the caller's until released or closed."""
        lane = self._lanes.get(key)
        while lane:
            connection: UpstreamH1 = lane.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def release(self, connection: UpstreamRequest, most: int) -> bool:
        """Keep a connection for the next request; False: `most` are there, or its endpoint was left."""
        lane = self._lanes.get(connection.key)
        if lane is None:
            if self._is_over or connection.key in self._left:
                return False
            lane = self._lanes[connection.key] = []
        if len(lane) >= most:
            return False
        lane.append(connection)
        return True

    def forget(self, connection: UpstreamRequest) -> None:
        """A connection ended while it was idle."""
        lane = self._lanes.get(connection.key)
        if lane is not None and connection in lane:
            lane.remove(connection)

    def close(self, key: Hashable) -> None:
        """Close all connections of one endpoint."""
        for connection in self._lanes.pop(key, []):
            connection.close()

    def trim(self, most: int) -> int:
        """Keep so many at most: those that would be closed first go now; how many those were."""
        surplus = len(self) - most
        if surplus <= 0:
            return 0
        oldest = heapq.nsmallest(surplus, chain(*self._lanes.values()), key=lambda one: one.deadline)
        for connection in oldest:
            connection.close()
            connection.transport.abort()  # the goodbye of TLS is on its way; its descriptor is wanted now
        return surplus

    def leave(self, key: Hashable) -> None:
        """Close all connections of one endpoint, and from now on those that come back."""
        self.close(key)
        self._left.add(key)

    def forget_left(self, key: Hashable) -> None:
        """Nothing of this endpoint comes back any more."""
        self._left.discard(key)

    def end(self) -> None:
        """Close every idle connection, and from now on those that come back."""
        self._is_over = True
        self.close_all()

    def close_all(self) -> None:
        """Close every idle connection."""
        for key in tuple(self._lanes):
            self.close(key)
