"""A text is found wherever the borders of the pieces fall, and only where it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posthouse.probe.text_search import SEARCH_BYTES, TextSearch

letters = st.binary(max_size=30).map(lambda data: bytes(97 + byte % 2 for byte in data))


@given(st.lists(letters, max_size=8), letters.filter(bool))
def test_found_as_in_the_whole(pieces: list[bytes], text: bytes) -> None:
    search = TextSearch(text)
    so_far = b""
    for piece in pieces:
        search.feed(piece)
        so_far += piece
        assert search.is_found == (text in so_far)
        assert search.is_over == search.is_found


def test_both_sides_of_the_limit() -> None:
    for more, is_found in ((b"", True), (b"x", False)):
        search = TextSearch(b"end")
        search.feed(b"x" * (SEARCH_BYTES - 3) + more)
        assert not search.is_over
        search.feed(b"end")
        assert (search.is_over, search.is_found) == (True, is_found)


def test_nothing_piles_up() -> None:
    search = TextSearch(b"0123456789")
    for _ in range(100):
        search.feed(b"x" * 1000)
    assert len(search._tail) == 9
    assert repr(search) == f"<TextSearch b'0123456789' found=False left={SEARCH_BYTES - 100_000}>"
