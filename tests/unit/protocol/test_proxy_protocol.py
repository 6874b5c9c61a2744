"""The PROXY protocol: its specification's own examples, then whatever can be sent in its place."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.errors import ProtocolError
from posthouse.protocol.proxy_protocol import (
    V1_BYTES,
    V2_BYTES,
    Address,
    Introduction,
    Parsed,
    Version,
    crc32c,
    encode,
    parse,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = Introduction(("192.168.0.1", 56324), ("192.168.0.11", 443))
V6 = Introduction(("2001:db8::1", 1), ("fe80::2", 65535))
V4_BLOCK = bytes((192, 168, 0, 1, 192, 168, 0, 11)) + (56324).to_bytes(2, "big") + (443).to_bytes(2, "big")


def binary(command: int, family: int, block: bytes, size: int | None = None) -> bytes:
    return (
        SIGNATURE
        + bytes((command, family))
        + (len(block) if size is None else size).to_bytes(2, "big")
        + block
    )


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def with_checksum(*before: bytes, after: bytes = b"", change: int = 0) -> bytes:
    """A TCP4 header whose TLVs are `before`, the checksum, `after`."""
    fields = b"".join(before)
    zeroed = binary(0x21, 0x11, V4_BLOCK + fields + tlv(3, bytes(4)) + after)
    at = 16 + len(V4_BLOCK) + len(fields) + 3
    return zeroed[:at] + (crc32c(zeroed) ^ change).to_bytes(4, "big") + zeroed[at + 4 :]


def refused(data: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        parse(data)
    return caught.value.reason


def test_checksum_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    ("line", "introduction"),
    [
        (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", V4),
        (b"PROXY TCP6 2001:DB8::1 fe80:0:0:0:0:0:0:2 1 65535\r\n", V6),
        (
            b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n",
            Introduction(("255.255.255.255", 65535), ("0.0.0.0", 0)),
        ),
        (b"PROXY TCP6 ::ffff:10.0.0.1 ::ffff:a00:2 1 2\r\n", Introduction(("10.0.0.1", 1), ("10.0.0.2", 2))),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 anything at all\r\n", None),
    ],
)
def test_lines(line: bytes, introduction: Introduction | None) -> None:
    assert parse(line) == parse(line + b"GET / HTTP/1.1\r\n") == Parsed(introduction, len(line))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not a PROXY protocol header"),
        (b"PROXZ", "not a PROXY protocol header"),
        (b"PROXY\r\n", "not a PROXY protocol header"),
        (b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "not a PROXY protocol header"),
        (b"\x16\x03\x01", "not a PROXY protocol header"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", "bare CR or LF"),
        (b"PROXY TCP4 1.1.1.1\r2.2.2.2 1 2\r\n", "bare CR or LF"),
        (b"PROXY UNKNOWN a\nb\r\n", "bare CR or LF"),
        (b"PROXY \r\n", "other words"),
        (b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", "other words"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", "other words"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", "other words"),
        (b"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n", "other words"),
        (b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", "no IPv4 address"),
        (b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", "no IPv4 address"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "no IPv4 address"),
        (b"PROXY TCP4 1.1.1.\xb2 2.2.2.2 1 2\r\n", "no IPv4 address"),
        (b"PROXY TCP6 1.1.1.1 ::1 1 2\r\n", "no IPv6 address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "a scoped IPv6 address"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", "no port"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", "no port"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n", "no port"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", "a port over 65535"),
    ],
)
def test_broken_lines(line: bytes, reason: str) -> None:
    assert reason in refused(line)


def test_length_of_a_line() -> None:
    longest = b"PROXY UNKNOWN ".ljust(V1_BYTES - 2, b"x")
    assert parse(longest + b"\r\n") == Parsed(None, V1_BYTES)
    assert parse(longest) is None
    assert parse(longest + b"\r") is None
    assert refused(longest + b"x\r\n") == "PROXY line over 107 bytes"
    assert refused(longest + b"xx") == "PROXY line over 107 bytes"


@pytest.mark.parametrize(
    ("header", "introduction"),
    [
        (binary(0x21, 0x11, V4_BLOCK), V4),
        (binary(0x21, 0x11, V4_BLOCK + tlv(4, bytes(9)) + tlv(0xE0, b"x")), V4),
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x11, b"no TLV \xff"), None),
        (binary(0x20, 0xFF, b""), None),
        (binary(0x21, 0x00, b"whatever"), None),
        (binary(0x21, 0x10, b"?"), None),
        (binary(0x21, 0x12, V4_BLOCK), None),
        (binary(0x21, 0x31, bytes(216)), None),
        (with_checksum(), V4),
        (with_checksum(tlv(2, b"site.test"), after=tlv(0x20, bytes(5))), V4),
    ],
)
def test_headers(header: bytes, introduction: Introduction | None) -> None:
    assert parse(header) == parse(header + b"GET") == Parsed(introduction, len(header))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (SIGNATURE[:-1] + b"\r", "not a PROXY protocol header"),
        (binary(0x11, 0x11, V4_BLOCK), "version and command 0x11"),
        (binary(0x22, 0x11, V4_BLOCK), "version and command 0x22"),
        (SIGNATURE + b"\x31", "version and command 0x31"),
        (binary(0x21, 0x41, V4_BLOCK), "family and protocol 0x41"),
        (binary(0x21, 0x13, V4_BLOCK), "family and protocol 0x13"),
        (binary(0x21, 0x11, V4_BLOCK[:-1]), "shorter than its addresses"),
        (binary(0x21, 0x21, V4_BLOCK), "shorter than its addresses"),
        (binary(0x21, 0x11, V4_BLOCK + b"\4"), "a broken TLV"),
        (binary(0x21, 0x11, V4_BLOCK + b"\4\0"), "a broken TLV"),
        (binary(0x21, 0x11, V4_BLOCK + b"\4\0\2x"), "a broken TLV"),
        (binary(0x21, 0x11, V4_BLOCK + tlv(3, bytes(3))), "what is no checksum"),
        (with_checksum(change=1), "a wrong checksum"),
        (with_checksum()[:-4] + bytes(4), "a wrong checksum"),
    ],
)
def test_broken_headers(header: bytes, reason: str) -> None:
    assert reason in refused(header)


def test_length_of_a_header() -> None:
    block = V4_BLOCK + tlv(4, bytes(V2_BYTES - 16 - len(V4_BLOCK) - 3))
    assert parse(binary(0x21, 0x11, block)) == Parsed(V4, V2_BYTES)
    assert refused(binary(0x21, 0x11, b"", V2_BYTES - 15)) == "PROXY header of 4097 bytes, over 4096"


def test_a_second_checksum_is_refused() -> None:
    assert refused(with_checksum(after=tlv(3, bytes(4)))) == "PROXY header with what is no checksum"


@pytest.mark.parametrize(
    ("version", "introduction", "header"),
    [
        ("v1", None, b"PROXY UNKNOWN\r\n"),
        ("v1", V4, b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"),
        ("v1", V6, b"PROXY TCP6 2001:db8::1 fe80::2 1 65535\r\n"),
        (
            "v1",
            Introduction(("10.0.0.1", 1), ("2001:db8::2", 2)),
            b"PROXY TCP6 ::ffff:0a00:0001 2001:db8::2 1 2\r\n",
        ),
        ("v2", None, binary(0x20, 0, b"")),
        ("v2", V4, binary(0x21, 0x11, V4_BLOCK)),
    ],
)
def test_encode(version: Version, introduction: Introduction | None, header: bytes) -> None:
    assert encode(version, introduction) == header
    assert parse(header) == Parsed(introduction, len(header))


def test_a_scope_stays_on_this_machine() -> None:
    scoped = Introduction(("fe80::1%eth0", 1), ("fe80::2%eth0", 2))
    assert encode("v1", scoped) == b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"


# -- whatever may come ---------------------------------------------------------------------------------------------

ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6)
    .filter(lambda one: isinstance(one, ipaddress.IPv6Address) and not one.ipv4_mapped)
    .map(str),
)
PLACES = st.tuples(ADDRESSES, st.integers(0, 65535))
VERSIONS: st.SearchStrategy[Version] = st.sampled_from(("v1", "v2"))


@given(VERSIONS, PLACES, PLACES, st.binary(max_size=20))
def test_round_trip(version: Version, source: Address, destination: Address, rest: bytes) -> None:
    """What we write we read, and nothing of what follows; no true prefix of it is a header or an error."""
    introduction = Introduction(source, destination)
    header = encode(version, introduction)
    assert len(header) <= V1_BYTES
    assert parse(header + rest) == Parsed(introduction, len(header))
    assert [parse(header[:end]) for end in range(len(header))] == [None] * len(header)


HEADERS = st.one_of(
    st.builds(encode, VERSIONS, st.builds(Introduction, PLACES, PLACES)),
    st.sampled_from(
        [with_checksum(), with_checksum(tlv(4, b"abc")), binary(0x20, 0, b""), b"PROXY UNKNOWN\r\n"]
    ),
)


def fed_by_byte(data: bytes) -> Parsed | str | None:
    for end in range(len(data) + 1):
        try:
            found = parse(data[:end])
        except ProtocolError as error:
            return error.reason
        if found is not None:
            return found
    return None


def fed_at_once(data: bytes) -> Parsed | str | None:
    try:
        return parse(data)
    except ProtocolError as error:
        return error.reason


@given(
    HEADERS, st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4), st.binary(max_size=8)
)
def test_mutations(header: bytes, changes: list[tuple[int, int]], rest: bytes) -> None:
    """Changed anywhere it is read or refused, never anything else; and the same however the bytes were cut."""
    data = bytearray(header + rest)
    for at, byte in changes:
        data[at % len(data)] = byte
    whole, cut = fed_at_once(bytes(data)), fed_by_byte(bytes(data))
    assert isinstance(whole, str) == isinstance(cut, str)
    if not isinstance(whole, str):
        assert whole == cut
    if isinstance(whole, Parsed):
        assert 15 <= whole.size <= len(data)


@given(st.binary(max_size=200))
def test_anything_after_a_beginning(data: bytes) -> None:
    for beginning in (b"", b"PROXY ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11\0"):
        whole, cut = fed_at_once(beginning + data), fed_by_byte(beginning + data)
        assert isinstance(whole, str) == isinstance(cut, str)
