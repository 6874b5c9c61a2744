"""TextSearch: does a body hold a text, looked for as the pieces come?"""

from __future__ import annotations

from typing import Final

SEARCH_BYTES: Final = 1024 * 1024
"""So much of a body is searched. A page that says how it is does so early; an endless one must end somewhere."""


class TextSearch:
    """Looks for `text` in the first SEARCH_BYTES of a body, across the borders of its pieces.

    is_found  the text has come
    is_over   nothing that may still come counts: found, or all that is searched has come
    """

    __slots__ = ("_left", "_tail", "_text", "is_found")

    def __init__(self, text: bytes) -> None:
        """text: not empty."""
        self._text = text
        self._tail = b""
        self._left = SEARCH_BYTES
        self.is_found = False

    def __repr__(self) -> str:
        return f"<TextSearch {self._text!r} found={self.is_found} left={self._left}>"

    @property
    def is_over(self) -> bool:
        return self.is_found or self._left <= 0

    def feed(self, data: bytes) -> None:
        """The next piece."""
        seen = self._tail + data[: self._left]
        self._left -= len(data)
        self.is_found = self.is_found or self._text in seen
        keep = len(self._text) - 1
        self._tail = seen[-keep:] if keep else b""
