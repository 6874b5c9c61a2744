"""Names: which pool or backend a word of a person means. Without I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Final

MOST_CANDIDATES: Final = 50
"""In an answer; a configuration may have thousands of pools."""


class Unclear(Exception):
    """A word that means none, or several.

    hint        the nearest name; "" if none is near
    candidates  what was meant perhaps, or else what there is
    """

    def __init__(self, message: str, candidates: Sequence[str], hint: str = "") -> None:
        super().__init__(message)
        self.candidates = candidates
        self.hint = hint


def find(what: str, word: str, names: Sequence[str], shorter: Callable[[str], str]) -> str:
    """The name that is the word, or the only one whose shorter form is. Raises Unclear.

    what  "pool" or "backend", for the message
    """
    if word in names:
        return word
    meant = [name for name in names if shorter(name) == word]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise Unclear(f"{what} {word!r} may be any of {len(meant)}", meant)
    near = get_close_matches(word, names, n=1)
    raise Unclear(f"there is no {what} {word!r}", names, near[0] if near else "")


def site_of(pool: str) -> str:
    """The shorter form of a pool's name: "example.com" for "example.com /"."""
    return pool.partition(" ")[0]


def without_scheme(backend: str) -> str:
    """The shorter form of a backend's name: "localhost:9000" for "http://localhost:9000"."""
    return backend.partition("://")[2] or backend
