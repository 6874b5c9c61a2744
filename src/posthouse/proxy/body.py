"""RequestBody: what was taken of a request body, and whether it can be sent again."""

from __future__ import annotations

from posthouse.protocol.fields import Field


class RequestBody:
    """The body of one request on its way.

    received     body bytes taken from the client so far
    is_kept      all of them are still here, so that another attempt can send them again
    is_complete  the client has sent everything
    """

    __slots__ = ("_pieces", "is_complete", "is_kept", "kept_size", "received", "trailers")

    def __init__(self, first: bytes, *, is_end: bool) -> None:
        self._pieces = [first] if first else []
        self.received = self.kept_size = len(first)
        self.is_kept = True
        self.is_complete = is_end
        self.trailers: list[Field] = []

    def keep(self, data: bytes) -> None:
        """Hold on to bytes that may have to be sent (again)."""
        self._pieces.append(data)
        self.kept_size += len(data)

    def forget(self) -> None:
        """No attempt after the current one will need the body."""
        self._pieces.clear()
        self.kept_size = 0
        self.is_kept = False

    def replay(self) -> bytes:
        """All bytes held."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def end(self, trailers: list[Field]) -> None:
        """The client has sent everything."""
        self.is_complete = True
        self.trailers = trailers
