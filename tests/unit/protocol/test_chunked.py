"""The chunked coding: one grammar, the same verdict however the bytes are cut."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posthouse.errors import ProtocolError
from posthouse.protocol.chunked import (
    CHUNK_LINE,
    CHUNKS_AT_ONCE,
    LAST_CHUNK,
    STEPS_AT_ONCE,
    TRAILERS,
    ChunkedReader,
    encode_chunk,
    encode_last_chunk,
    has_bare_line_break,
)
from posthouse.protocol.fields import Field, FieldMemo
from unit.protocol.rows import rows

Verdict = tuple[bytes, list[tuple[bytes, bytes]], bytes, bool] | int


def read(*pieces: bytes, most_trailers: int = 8) -> Verdict:
    """Data, trailers, what follows, and whether the body ended; or the status of the refusal."""
    reader = ChunkedReader(FieldMemo(), most_trailers)
    data = b""
    for i, piece in enumerate(pieces):
        try:
            data += reader.feed(piece)
            while reader.has_more:
                data += reader.feed(b"")
        except ProtocolError as error:
            return error.status
        if reader.is_done:
            rest = reader.leftover + b"".join(pieces[i + 1 :])
            return data, [(field.name, field.value) for field in reader.trailers], rest, True
    return data, [], b"", False


def cuts(message: bytes) -> list[tuple[bytes, ...]]:
    """The message in one piece, in two at every place, byte by byte."""
    return [
        (message,),
        *((message[:i], message[i:]) for i in range(1, len(message))),
        tuple(message[i : i + 1] for i in range(len(message))),
    ]


END = b"0\r\n\r\n"
GOOD: dict[str, tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] = {
    "empty": (END, b"", [], b""),
    "one chunk": (b"5\r\nhello\r\n" + END, b"hello", [], b""),
    "two chunks": (b"1\r\na\r\n2\r\nbc\r\n" + END, b"abc", [], b""),
    "hex in both cases": (
        b"a\r\n0123456789\r\nB\r\n01234567890\r\n" + END,
        b"012345678901234567890",
        [],
        b"",
    ),
    "zeros before": (b"0005\r\nhello\r\n0000\r\n\r\n", b"hello", [], b""),
    "sixteen digits": (b"0" * 15 + b"1\r\na\r\n" + b"0" * 16 + b"\r\n\r\n", b"a", [], b""),
    "data with line breaks": (b"6\r\n\r\n0\r\n\r\r\n" + END, b"\r\n0\r\n\r", [], b""),
    "extension": (b"1;name=value\r\na\r\n0;last\r\n\r\n", b"a", [], b""),
    "extension, quoted": (b'1;a="b;c"\r\na\r\n' + END, b"a", [], b""),
    "extension, empty": (b"1;\r\na\r\n" + END, b"a", [], b""),
    "blanks before an extension": (b"1 \t;x\r\na\r\n" + END, b"a", [], b""),
    "blanks in an extension": (b"1; x = y\r\na\r\n" + END, b"a", [], b""),
    "high bytes in an extension": (b"1;\xff\x85\r\na\r\n" + END, b"a", [], b""),
    "trailers": (b"1\r\na\r\n0\r\nX-Sum: 1\r\nB:2 \r\n\r\n", b"a", [(b"X-Sum", b"1"), (b"B", b"2")], b""),
    "trailers that are dropped": (
        b"0\r\nHost: a\r\nContent-Length: 5\r\nX: 1\r\n\r\n",
        b"",
        [(b"X", b"1")],
        b"",
    ),
    "a request follows": (b"1\r\na\r\n" + END + b"GET / HTTP", b"a", [], b"GET / HTTP"),
    "line breaks follow": (END + b"\r\n\r\n", b"", [], b"\r\n\r\n"),
    "another body follows": (END + END, b"", [], END),
    "something follows trailers": (b"0\r\nA: 1\r\n\r\nX", b"", [(b"A", b"1")], b"X"),
}


@pytest.mark.parametrize(("message", "data", "trailers", "rest"), rows(GOOD))
def test_good(message: bytes, data: bytes, trailers: list[tuple[bytes, bytes]], rest: bytes) -> None:
    for pieces in cuts(message):
        assert read(*pieces) == (data, trailers, rest, True), pieces


@pytest.mark.parametrize(("message", "data", "trailers", "rest"), rows(GOOD))
def test_unfinished(message: bytes, data: bytes, trailers: list[tuple[bytes, bytes]], rest: bytes) -> None:
    """Nothing short of the last byte is an end."""
    whole = message.removesuffix(rest)
    for i in range(len(whole)):
        verdict = read(whole[:i])
        assert isinstance(verdict, tuple)
        assert not verdict[3] and data.startswith(verdict[0])


BAD = {
    "no size": b"\r\na\r\n",
    "only an extension": b";x\r\n",
    "LF after the size": b"1\na\r\n",
    "CR after the size": b"1\ra\r\n",
    "CR CR LF after the size": b"1\r\r\na\r\n",
    "nothing after the data": b"1\r\na1\r\nb\r\n",
    "LF after the data": b"1\r\na\n" + END,
    "CR after the data": b"1\r\na\r" + END,
    "LF CR after the data": b"1\r\na\n\r" + END,
    "XX after the data": b"1\r\naXX" + END,
    "more data than said": b"1\r\nab\r\n" + END,
    "0x": b"0x1\r\na\r\n",
    "underscore": b"1_0\r\n" + b"a" * 16 + b"\r\n",
    "plus": b"+1\r\na\r\n",
    "minus": b"-1\r\na\r\n",
    "blank before": b" 1\r\na\r\n",
    "tab before": b"\t1\r\na\r\n",
    "blank after": b"1 \r\na\r\n",
    "blank inside": b"1 0\r\n",
    "not hex": b"g\r\n",
    "h after hex": b"1h\r\na\r\n",
    "comma": b"1,1\r\na\r\n",
    "other digits": "١\r\na\r\n".encode(),
    "NEL after": b"1\x85\r\na\r\n",
    "NUL after": b"1\x00\r\na\r\n",
    "seventeen digits": b"0" * 16 + b"1\r\na\r\n",
    "seventeen zeros": b"0" * 17 + b"\r\n\r\n",
    "over 2^53": b"20000000000001\r\n",
    "as large as sixteen digits can": b"f" * 16 + b"\r\n",
    "LF in an extension": b"1;a\nb\r\na\r\n",
    "CR in an extension": b"1;a\rb\r\na\r\n",
    "NUL in an extension": b"1;a\x00b\r\na\r\n",
    "DEL in an extension": b"1;a\x7fb\r\na\r\n",
    "blank and no extension": b"1 x\r\na\r\n",
    "LF after the last size": b"0\n\r\n",
    "LF at the end": b"0\r\n\n",
    "LF in a trailer": b"0\r\nA: 1\nB: 2\r\n\r\n",
    "CR in a trailer": b"0\r\nA: 1\rB: 2\r\n\r\n",
    "folded trailer": b"0\r\nA: 1\r\n b\r\n\r\n",
    "trailer without a colon": b"0\r\nA\r\n\r\n",
    "blank before a trailer's colon": b"0\r\nA : 1\r\n\r\n",
    "NUL in a trailer": b"0\r\nA: \x00\r\n\r\n",
    "too many trailers": b"0\r\n" + b"A: 1\r\n" * 9 + b"\r\n",
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("message", [pytest.param(message, id=name) for name, message in BAD.items()])
def test_bad(message: bytes) -> None:
    """After a good chunk and with a good end behind it; however it is cut."""
    for whole in (message, message + END + END, b"3\r\nabc\r\n" + message + b"\r\n\r\n"):
        for pieces in cuts(whole):
            assert read(*pieces) == 400, pieces


@pytest.mark.parametrize("line", [b"20000000000000\r\n", b"00020000000000000\r\n"[1:]])
def test_largest_chunk(line: bytes) -> None:
    assert read(line + b"abc") == (b"abc", [], b"", False)


@pytest.mark.parametrize("byte", sorted(set(range(256)) - set(b"0123456789abcdefABCDEF;\r")))
def test_no_other_byte_in_or_after_a_size(byte: int) -> None:
    odd = bytes([byte])
    assert read(odd + b"1\r\na\r\n") == 400
    assert read(b"1" + odd + b"\r\n" + b"a" * 30) == 400
    assert read(b"1" + odd + b"1\r\n" + b"a" * 30) == 400


# -- limits, on both sides and however they are reached


def test_the_limits_are_those_of_the_surface() -> None:
    assert (CHUNK_LINE, TRAILERS) == (1024, 8 * 1024)


def with_line(size: int) -> bytes:
    return b"1;".ljust(size, b"x") + b"\r\na\r\n" + END


def with_trailers(size: int) -> bytes:
    return b"0\r\n" + b"A: ".ljust(size, b"x") + b"\r\n\r\n"


@pytest.mark.parametrize("size", [CHUNK_LINE - 1, CHUNK_LINE])
def test_longest_chunk_line(size: int) -> None:
    for pieces in cuts(with_line(size)):
        assert read(*pieces) == (b"a", [], b"", True)


def test_chunk_line_too_long() -> None:
    for message in (with_line(CHUNK_LINE + 1), b"1;".ljust(CHUNK_LINE + 3, b"x"), b"1;".ljust(1 << 21, b"x")):
        for place in (1, CHUNK_LINE, CHUNK_LINE + 1, CHUNK_LINE + 2, len(message)):
            assert read(message[:place], message[place:]) == 400


@pytest.mark.parametrize("size", [TRAILERS - 1, TRAILERS])
def test_longest_trailers(size: int) -> None:
    message = with_trailers(size)
    for place in (1, 3, 100, size, *range(len(message) - 6, len(message) + 1)):
        assert read(message[:place], message[place:]) == (b"", [(b"A", b"x" * (size - 3))], b"", True), place


def test_trailers_too_long() -> None:
    for message in (
        with_trailers(TRAILERS + 1),
        b"0\r\nA: ".ljust(TRAILERS + 8, b"x"),
        b"0\r\nA: ".ljust(1 << 20, b"x"),
    ):
        for place in (1, 3, TRAILERS, TRAILERS + 3, TRAILERS + 4, TRAILERS + 5, TRAILERS + 6, len(message)):
            assert read(message[:place], message[place:]) == 400, place


@pytest.mark.parametrize(("count", "is_good"), [(7, True), (8, True), (9, False)])
def test_limit_of_trailer_fields(count: int, is_good: bool) -> None:
    verdict = read(b"0\r\n" + b"A: 1\r\n" * count + b"\r\n")
    assert (verdict != 400) is is_good


# -- encoding


def test_encode_last_chunk() -> None:
    assert encode_last_chunk([]) == LAST_CHUNK == END
    assert encode_last_chunk([Field(b"A", b"1"), Field(b"B", b"")]) == b"0\r\nA: 1\r\nB: \r\n\r\n"


BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


@settings(deadline=None)
@given(
    BODIES,
    st.sampled_from([[], [Field(b"A", b"1")]]),
    st.binary(max_size=5),
    st.lists(st.integers(0, 200), max_size=5),
)
@example([b"\r\n0\r\n\r\n"], [], b"0\r\n\r\n", [3, 4, 5])
def test_decoding_what_was_encoded(
    chunks: list[bytes], trailers: list[Field], rest: bytes, places: list[int]
) -> None:
    """The identity, at any cut; and no byte of what follows is taken."""
    message = b"".join(encode_chunk(chunk) for chunk in chunks) + encode_last_chunk(trailers) + rest
    edges = [0, *sorted({min(place, len(message)) for place in places} - {0, len(message)}), len(message)]
    pieces = [message[a:b] for a, b in itertools.pairwise(edges)]
    assert read(*pieces) == (b"".join(chunks), [(field.name, field.value) for field in trailers], rest, True)


@settings(deadline=None)
@given(BODIES)
def test_decoding_at_every_cut(chunks: list[bytes]) -> None:
    message = b"".join(encode_chunk(chunk) for chunk in chunks) + LAST_CHUNK
    for pieces in cuts(message):
        assert read(*pieces) == (b"".join(chunks), [], b"", True)


PARTS = st.sampled_from(
    [
        *(b"0", b"1", b"2", b"a", b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b";", b";x", b" ", b"\t", b"A: 1", b"x"),
        *(b"1\r\na\r\n", b"2\r\nab\r\n", b"0\r\n", b"0\r\n\r\n", b":", b"\x00", b"\xff", b"B: 2\r\n"),
    ]
)  # fmt: skip
GRAMMAR = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n",
)
TRAILER = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n")


def by_the_grammar(message: bytes) -> tuple[bytes, bytes] | None:
    """Data and rest of a whole body, read by the letter of RFC 9112 7.1 and slowly; None: there is none."""
    data, place = b"", 0
    while (line := GRAMMAR.match(message, place)) is not None:
        size = int(line.group(1), 16)
        place = line.end()
        if not size:
            trailers = TRAILER.match(message, place)
            return (data, message[trailers.end() :]) if trailers is not None else None
        data += message[place : place + size]
        place += size
        if message[place : place + 2] != b"\r\n":
            return None
        place += 2
    return None


@settings(deadline=None)
@given(st.lists(PARTS, max_size=10).map(b"".join), st.integers(0, 30))
@example(b"1 ;x\r\na\r\n0\r\n\r\n", 2)
def test_any_bytes(message: bytes, place: int) -> None:
    """Read as the grammar reads them, or refused, or unfinished; the same however they are cut."""
    expected = by_the_grammar(message)
    verdict = read(message, most_trailers=100)
    assert read(message[:place], message[place:], most_trailers=100) == verdict
    assert read(*(bytes([byte]) for byte in message), most_trailers=100) == verdict
    if expected is not None:
        assert isinstance(verdict, tuple)
        assert (verdict[0], verdict[2], verdict[3]) == (*expected, True)
    else:
        assert verdict == 400 or (isinstance(verdict, tuple) and not verdict[3])


def test_many_tiny_chunks_cost_little() -> None:
    """A read can hold 50,000 of them: one pass, whatever stands at its end."""
    message = b"1\r\na\r\n" * 40_000
    started = time.process_time()
    assert read(message + LAST_CHUNK) == (b"a" * 40_000, [], b"", True)
    assert read(message + b"XX\r\n") == 400
    assert read(message + b"5\r\nab")[0] == b"a" * 40_000 + b"ab"  # type: ignore[index]
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("chunk", "most"),
    [
        pytest.param(b"1\r\na\r\n", CHUNKS_AT_ONCE, id="tiny"),
        pytest.param(b"0000000000000001\r\na\r\n", -(-STEPS_AT_ONCE // 3), id="odd"),
    ],
)
def test_so_many_at_once(chunk: bytes, most: int) -> None:
    """The rest comes when asked for: nobody waits for tens of milliseconds because of one read."""
    reader = ChunkedReader(FieldMemo(), 8)
    assert reader.feed(chunk * most) == b"a" * most
    assert not reader.has_more, "the last of them is no reason to come again"
    assert reader.feed(chunk * (2 * most + 1) + LAST_CHUNK) == b"a" * most
    assert reader.has_more and not reader.is_done
    assert reader.feed(b"") == b"a" * most and reader.has_more
    assert reader.feed(b"") == b"a" and reader.is_done and not reader.has_more


def test_long_data_is_not_copied() -> None:
    """Inside a chunk the bytes go on as they are."""
    reader = ChunkedReader(FieldMemo(), 8)
    reader.feed(b"100\r\n")
    data = b"x" * 255
    assert reader.feed(data) is data


BREAKS: dict[str, tuple[bytes, bool]] = {
    "none": (b"abc", False),
    "nothing": (b"", False),
    "CRLF": (b"a\r\nb\r\n", False),
    "LF": (b"a\nb", True),
    "LF first": (b"\na", True),
    "LF last": (b"a\n", True),
    "CR": (b"a\rb", True),
    "CR last": (b"a\r", False),
    "CR CR last": (b"a\r\r", True),
    "LF LF": (b"a\r\n\nb", True),
    "CR CR LF": (b"a\r\r\n", True),
}


@pytest.mark.parametrize(("data", "is_bare"), rows(BREAKS))
def test_bare_line_breaks(data: bytes, is_bare: bool) -> None:
    assert has_bare_line_break(data) is is_bare
    assert has_bare_line_break(b"\n\n" + data, 2) is (is_bare or data.startswith(b"\n"))
