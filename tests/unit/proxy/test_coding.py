"""A body is coded in pieces of bounded size, whatever size it comes in."""

from __future__ import annotations

import pytest

from posthouse.protocol.fields import Field
from posthouse.proxy.coding import CODED_PIECE_BYTES, Coding


class Lengths:
    """A coding: the length of every piece."""

    def feed(self, data: bytes) -> bytes:
        assert data, "an empty piece would cost a flush"
        return b"%d " % len(data)

    def finish(self, data: bytes = b"") -> bytes:
        return b"%d." % len(data)


def run(*reads: int) -> bytes:
    """What comes of a body that came in such reads."""
    coding, coded = Coding(Lengths()), b""
    for size in reads:
        coding.take(bytes(size))
        while coding.has_more:
            coded += coding.next()
    coding.end([])
    assert not coding.is_done
    coded += coding.next()
    assert coding.is_done
    return coded


@pytest.mark.parametrize(
    ("reads", "coded"),
    [
        ((), b"0."),
        ((0,), b"0."),
        ((5, 6), b"5 6 0."),
        ((CODED_PIECE_BYTES,), b"32768 0."),
        ((CODED_PIECE_BYTES + 1,), b"32768 1 0."),
        ((2 * CODED_PIECE_BYTES, 1), b"32768 32768 1 0."),
    ],
)
def test_pieces(reads: tuple[int, ...], coded: bytes) -> None:
    assert run(*reads) == coded


def test_what_comes_while_something_waits_is_put_behind_it() -> None:
    coding = Coding(Lengths())
    coding.take(bytes(CODED_PIECE_BYTES + 2))
    assert coding.next() == b"32768 "
    coding.take(b"abc")
    assert repr(coding) == "<Coding waiting=5 done=False>"
    assert coding.next() == b"5 "
    assert not coding.has_more


def test_the_end_goes_with_the_last_piece() -> None:
    coding, trailers = Coding(Lengths()), [Field(b"A", b"1")]
    coding.take(bytes(CODED_PIECE_BYTES + 2))
    coding.end(trailers)
    assert (coding.next(), coding.is_done) == (b"32768 ", False)
    assert (coding.next(), coding.is_done, coding.trailers) == (b"2.", True, trailers)
