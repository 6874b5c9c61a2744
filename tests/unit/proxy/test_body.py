"""Request bodies: what is held of them, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posthouse.protocol.fields import Field
from posthouse.proxy.body import RequestBody


def test_all_at_once() -> None:
    body = RequestBody(b"one", is_end=True)
    assert (body.received, body.kept_size, body.is_kept, body.is_complete) == (3, 3, True, True)
    assert body.replay() == body.replay() == b"one"
    assert body.trailers == []


def test_nothing_yet() -> None:
    body = RequestBody(b"", is_end=False)
    assert (body.received, body.kept_size, body.is_kept, body.is_complete) == (0, 0, True, False)
    assert body.replay() == b""


def test_the_end_brings_trailers() -> None:
    body = RequestBody(b"", is_end=False)
    trailers = [Field(b"X-A", b"1")]
    body.end(trailers)
    assert body.is_complete and body.trailers == trailers


def test_what_is_forgotten_can_not_be_sent_again() -> None:
    body = RequestBody(b"one", is_end=False)
    body.forget()
    assert (body.is_kept, body.kept_size, body.replay(), body.received) == (False, 0, b"", 3)


@given(st.lists(st.binary(min_size=1, max_size=4)))
def test_pieces_come_back_in_their_order(pieces: list[bytes]) -> None:
    body = RequestBody(b"first", is_end=False)
    for number, piece in enumerate(pieces, 1):
        body.keep(piece)
        if number % 3 == 0:
            assert body.replay() == b"first" + b"".join(pieces[:number])
    assert body.replay() == b"first" + b"".join(pieces)
    assert body.kept_size == len(body.replay())
