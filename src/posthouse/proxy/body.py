"""RequestBody: what was taken of a request body, and whether it can be sent again."""

from __future__ import annotations

from typing import Final

from posthouse.protocol.fields import Field

CAPTURE_BYTES: Final = 100 * 1024
"""What `{request_body}` shows at most (caddy1.md 7.2)."""


class RequestBody:
    """The body of one request on its way.

    received     body bytes taken from the client so far
    is_kept      all of them are still here, so that another attempt can send them again
    is_complete  the client has sent everything
    """

    __slots__ = ("_captured", "_pieces", "is_complete", "is_kept", "kept_size", "received", "trailers")

    def __init__(self, first: bytes, *, is_end: bool) -> None:
        self._pieces = [first] if first else []
        self.received = self.kept_size = len(first)
        self.is_kept = True
        self.is_complete = is_end
        self.trailers: list[Field] = []
        self._captured: bytearray | None = None

    def start_capture(self) -> None:
        """Keep the first CAPTURE_BYTES of what comes, for `{request_body}`."""
        self._captured = bytearray()
        self.capture(self.replay())

    @property
    def is_capturing(self) -> bool:
        """Whether bytes that come are still wanted for `{request_body}`."""
        return self._captured is not None and len(self._captured) < CAPTURE_BYTES

    def capture(self, data: bytes) -> None:
        """Bytes of the body, in their order."""
        if self._captured is not None:
            self._captured += data[: CAPTURE_BYTES - len(self._captured)]

    def captured(self) -> bytes:
        """What was captured."""
        return bytes(self._captured or b"")

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
