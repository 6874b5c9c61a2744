"""Field lines and blocks: what is refused, what is kept, and that a memo never lets more pass than a parse."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posthouse.errors import ProtocolError
from posthouse.protocol import fields
from posthouse.protocol.fields import (
    Field,
    FieldMemo,
    Sightings,
    is_token,
    kind_of,
    parse_length,
    parse_list,
    parse_trailers,
)
from unit.protocol.rows import rows

TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
IN_VALUES = frozenset(range(256)) - (frozenset(range(0x20)) - {0x09}) - {0x7F}
GRAMMAR = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
"""RFC 9112 5 in one expression, written apart from the code: field-name ":" OWS field-value OWS."""


def refusal(line: bytes, memo: FieldMemo | None = None) -> str:
    with pytest.raises(ProtocolError) as caught:
        (memo or FieldMemo()).parse_block(line, 128)
    assert caught.value.status == 400
    return caught.value.reason


GOOD: dict[str, tuple[bytes, bytes, bytes]] = {
    "plain": (b"Accept: text/html", b"Accept", b"text/html"),
    "no blank": (b"Accept:text/html", b"Accept", b"text/html"),
    "blanks around": (b"Accept: \t text/html \t ", b"Accept", b"text/html"),
    "blanks inside": (b"A: a \t b", b"A", b"a \t b"),
    "empty": (b"A:", b"A", b""),
    "only blanks": (b"A: \t ", b"A", b""),
    "colons": (b"A: b:c::d", b"A", b"b:c::d"),
    "underscore": (b"X_Y: 1", b"X_Y", b"1"),
    "odd token": (b"!#$%&'*+-.^_`|~09: 1", b"!#$%&'*+-.^_`|~09", b"1"),
    "high bytes": (b"A: \x85\xa0\xff\x80", b"A", b"\x85\xa0\xff\x80"),
    "case kept": (b"x-UPPER-lower: V", b"x-UPPER-lower", b"V"),
}

BAD: dict[str, tuple[bytes, str]] = {
    "no colon": (b"Accept", "field line without a colon"),
    "nothing before the colon": (b": v", "invalid field name"),
    "blank before the colon": (b"Host : a", "invalid field name"),
    "tab before the colon": (b"Host\t: a", "invalid field name"),
    "leading blank": (b" Host: a", "folded field line"),
    "leading tab": (b"\tHost: a", "folded field line"),
    "folded": (b"A: 1\r\n B: 2", "folded field line"),
    "empty line inside": (b"A: 1\r\n\r\nB: 2", "empty line inside the field block"),
    "line break at the end": (b"A: 1\r\n", "empty line inside the field block"),
    "blank in the name": (b"A B: 1", "invalid field name"),
    "slash in the name": (b"A/B: 1", "invalid field name"),
    "high byte in the name": (b"A\xff: 1", "invalid field name"),
    "Latin-1 blank after the name": (b"Host\xa0: 1", "invalid field name"),
    "NEL after the name": (b"Host\x85: 1", "invalid field name"),
    "LF in the value": (b"A: 1\nB: 2", "bare CR or LF in a field"),
    "CR in the value": (b"A: 1\rB: 2", "bare CR or LF in a field"),
    "LF at the end of the value": (b"A: 1\n", "bare CR or LF in a field"),
    "CR at the end of the value": (b"A: 1\r", "bare CR or LF in a field"),
    "LF right after the colon": (b"A:\n 1", "bare CR or LF in a field"),
    "NUL": (b"A: 1\x00", "control byte in a field value"),
    "DEL": (b"A: \x7f", "control byte in a field value"),
    "vertical tab": (b"A:\x0b1", "control byte in a field value"),
    "form feed": (b"A: 1\x0c", "control byte in a field value"),
}


@pytest.mark.parametrize(("line", "name", "value"), rows(GOOD))
def test_a_good_line(line: bytes, name: bytes, value: bytes) -> None:
    (field,) = FieldMemo().parse_block(line, 1)
    assert (field.name, field.value) == (name, value)
    assert field.lower == name.lower()
    assert field.wire == name + b": " + value + b"\r\n"


@pytest.mark.parametrize(("line", "reason"), rows(BAD))
def test_a_bad_line(line: bytes, reason: str) -> None:
    """Also the third time, when a good line would come from the memo; also between good ones."""
    memo = FieldMemo()
    for _ in range(3):
        assert refusal(line, memo) == reason
        assert refusal(b"Good: 1\r\n" + line + b"\r\nGood: 2", memo) == reason


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_everywhere(byte: int) -> None:
    """Before, inside and after a name: a token or a refusal. In a value: kept as it is, or a refusal."""
    odd = bytes([byte])
    memo = FieldMemo()
    for name in (odd + b"Na", b"N" + odd + b"a", b"Na" + odd):
        if byte in TOKEN:
            assert memo.parse(name + b": v").name == name
        elif byte != 0x3A:
            refusal(name + b": v")
    for value in (odd + b"va", b"v" + odd + b"a", b"va" + odd):
        if byte in IN_VALUES:
            assert memo.parse(b"N:" + value).value == value.strip(b"\t ")
        else:
            refusal(b"N:" + value)
    assert is_token(odd) is (byte in TOKEN)


PIECES = st.sampled_from([b"A", b":", b" ", b"\t", b"\r", b"\n", b"\x00", b"\xff", b"1", b"Host"])


@settings(deadline=None)
@given(st.binary(max_size=20), st.lists(PIECES).map(b"".join))
def test_lines_are_judged_by_the_grammar(anything: bytes, pieces: bytes) -> None:
    memo = FieldMemo()
    for line in (anything, pieces):
        is_good = GRAMMAR.fullmatch(line) is not None
        for _ in range(3):
            try:
                field = memo.lines.get(line) or memo.parse(line)
            except ProtocolError:
                assert not is_good
                continue
            assert is_good
            again = FieldMemo().parse(field.wire[:-2])
            assert (again.name, again.value, again.wire) == (field.name, field.value, field.wire)


def test_no_block_has_no_fields() -> None:
    assert FieldMemo().parse_block(b"", 0) == []


@pytest.mark.parametrize("times", [1, 3], ids=["cold", "warm"])
def test_limit_of_fields(times: int) -> None:
    memo = FieldMemo()
    block = b"\r\n".join(b"A%d: 1" % i for i in range(5))
    for _ in range(times):
        assert len(memo.parse_block(block, 5)) == 5
    with pytest.raises(ProtocolError) as caught:
        memo.parse_block(block, 4)
    assert caught.value.status == 431


def test_a_line_is_kept_at_the_second_sight() -> None:
    memo = FieldMemo()
    memo.parse_block(b"A: 1", 1)
    assert memo.lines == {}
    (second,) = memo.parse_block(b"A: 1", 1)
    (third,) = memo.parse_block(b"A: 1", 1)
    assert third is second
    assert memo.parse_block(b"a: 1", 1)[0].name == b"a"


def test_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_MEMO_LINES", 8)
    memo = FieldMemo()
    for i in range(100):
        for _ in range(2):
            memo.parse_block(b"A%d: %d" % (i, i), 1)
        assert len(memo.lines) <= 8
    assert memo.parse_block(b"A5: 5", 1)[0].value == b"5"


def test_long_lines_are_not_kept() -> None:
    memo = FieldMemo()
    longest, longer = b"A: ".ljust(512, b"x"), b"A: ".ljust(513, b"x")
    for _ in range(3):
        memo.parse_block(longest + b"\r\n" + longer, 2)
    assert list(memo.lines) == [longest]


def test_sightings() -> None:
    met = Sightings()
    assert [met.met_before(b"a"), met.met_before(b"b"), met.met_before(b"a")] == [False, False, True]


def test_sightings_are_of_late_and_take_no_more_room() -> None:
    """Two of them may want the same place: so what happens to many is asked, and the odds are a million to one."""
    met = Sightings()
    first = [b"first %d" % i for i in range(100)]
    room = sys.getsizeof(met._hashes)
    for one in first:
        met.met_before(one)
    for i in range(Sightings._MOST // 16):
        met.met_before(b"%d" % i)
    assert sum(met.met_before(one) for one in first) > 50
    for i in range(Sightings._MOST * 8):
        met.met_before(b"%d" % i)
    assert sum(met.met_before(one) for one in first) < 10
    assert sys.getsizeof(met._hashes) == room < 140_000


KINDS: dict[str, tuple[bytes, int]] = {
    "ordinary": (b"accept", fields.ORDINARY),
    "host": (b"host", fields.HOST),
    "length": (b"content-length", fields.CONTENT_LENGTH),
    "coding": (b"transfer-encoding", fields.TRANSFER_ENCODING),
    "te": (b"te", fields.TE),
    "keep-alive": (b"keep-alive", fields.HOP),
    "proxy-connection": (b"proxy-connection", fields.HOP),
    "proxy-authorization": (b"proxy-authorization", fields.HOP),
    "http2-settings": (b"http2-settings", fields.HOP),
    "forwarded for": (b"x-forwarded-for", fields.FORWARDING),
    "any x-forwarded": (b"x-forwarded-anything", fields.FORWARDING),
    "not x-forwarded": (b"x-forwarded", fields.ORDINARY),
    "real ip": (b"x-real-ip", fields.FORWARDING),
    "forwarded": (b"forwarded", fields.FORWARDING),
    "via": (b"via", fields.VIA),
    "date": (b"date", fields.ORDINARY),
}


@pytest.mark.parametrize(("name", "kind"), rows(KINDS))
def test_kinds(name: bytes, kind: int) -> None:
    """The kind does not depend on letter case, nor on whether a field was parsed or made."""
    odd_case = name.title()
    assert kind_of(name) == kind
    assert Field(odd_case, b"v").kind == FieldMemo().parse(odd_case + b": v").kind == kind


def test_a_made_field_is_like_a_parsed_one() -> None:
    made, parsed = Field(b"X-A", b"1"), FieldMemo().parse(b"X-A:  1 ")
    assert [getattr(made, slot) for slot in Field.__slots__] == [
        getattr(parsed, slot) for slot in Field.__slots__
    ]
    assert repr(made) == "Field(b'X-A', b'1')"


LENGTHS: dict[str, tuple[bytes, int]] = {
    "zero": (b"0", 0),
    "zeros before": (b"007", 7),
    "most": (b"9223372036854775807", (1 << 63) - 1),
}
BAD_LENGTHS = [
    *(b"", b"+5", b"-5", b"1_0", b"0x10", b"1 0", b" 1", b"1 ", b"1,1", b"1, 1", b"1.0", b"1e3", b"5\x00", b"5\n"),
    *("٥".encode(), b"\xb2", b"\x855", b"5\xa0", b"9223372036854775808", b"18446744073709551616", b"0" * 20),
]  # fmt: skip


@pytest.mark.parametrize(("value", "length"), rows(LENGTHS))
def test_a_good_length(value: bytes, length: int) -> None:
    assert parse_length(value) == length


@pytest.mark.parametrize("value", BAD_LENGTHS)
def test_a_bad_length(value: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_length(value)
    assert caught.value.status == 400


@settings(deadline=None)
@given(st.text(st.characters(categories=["Nd", "Nl", "No"]), max_size=4).map(str.encode))
@example(b"12")
def test_no_other_digits(value: bytes) -> None:
    if re.fullmatch(rb"[0-9]+", value):
        assert parse_length(value) == int(value)
    else:
        with pytest.raises(ProtocolError):
            parse_length(value)


LISTS: dict[str, tuple[bytes, list[bytes]]] = {
    "one": (b"close", [b"close"]),
    "case": (b"Close, UPGRADE", [b"close", b"upgrade"]),
    "blanks": (b" \ta ,\tb\t", [b"a", b"b"]),
    "empty members": (b",, a,, ,b,", [b"a", b"b"]),
    "nothing": (b"", []),
    "commas": (b" , ,", []),
    "no other blanks": (b"a\xa0,\x85b", [b"a\xa0", b"\x85b"]),
}


@pytest.mark.parametrize(("value", "members"), rows(LISTS))
def test_lists(value: bytes, members: list[bytes]) -> None:
    assert parse_list(value) == members


DROPPED_IN_TRAILERS = [
    *(b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"TE", b"Trailer", b"Expect"),
    *(b"Keep-Alive", b"Proxy-Connection", b"Authorization", b"Cookie", b"Set-Cookie", b"Content-Type"),
    *(b"Content-Encoding", b"Content-Range", b"Cache-Control", b"Location", b"Range", b"WWW-Authenticate"),
    *(b"X-Forwarded-For", b"X-Forwarded-Anything", b"X-Real-IP", b"Forwarded"),
]  # fmt: skip


@pytest.mark.parametrize("name", DROPPED_IN_TRAILERS, ids=bytes.decode)
def test_what_may_not_come_in_trailers(name: bytes) -> None:
    section = b"X-Sum: 1\r\n" + name.swapcase() + b": v\r\n" + name + b": v\r\nGrpc-Status: 0"
    assert [field.name for field in parse_trailers(section, FieldMemo(), 8)] == [b"X-Sum", b"Grpc-Status"]


def test_trailers_are_fields() -> None:
    assert parse_trailers(b"", FieldMemo(), 8) == []
    with pytest.raises(ProtocolError):
        parse_trailers(b"X : 1", FieldMemo(), 8)
    with pytest.raises(ProtocolError):
        parse_trailers(b"Host: 1\r\nB: 2", FieldMemo(), 1)
