"""The PROXY protocol without I/O: what a peer says, before all else, about the client that it stands in for.

Source: HAProxy's proxy-protocol.txt, version 1 (2.1, one line of text) and version 2 (2.2, binary). Both are read, and
which of them it is shows in the first byte. Its laws here:
1. Nothing is believed before all of it is there, and what can't become a header is refused with the first byte that
   says so. What follows the header is not looked at.
2. A header is at most V1_BYTES or V2_BYTES long, whatever it announces.
3. Where it names no TCP client (LOCAL, UNKNOWN, UNSPEC, a Unix socket, UDP) the connection's own addresses count, as
   the specification asks.
4. A checksum that is there must be right.
"""

from __future__ import annotations

import ipaddress
from functools import cache
from typing import Final, Literal, NamedTuple

from posthouse.errors import ProtocolError

Version = Literal["v1", "v2"]

V1_BYTES: Final = 107
"""The longest line of version 1, its CRLF included (2.1)."""
V2_BYTES: Final = 4096
"""The longest header of version 2. It might announce 64 KiB; addresses take at most 216 bytes, and what senders add
(names, TLS facts, a checksum, ids) some hundred. nginx has the same limit."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_LINE: Final = b"PROXY "
_FIXED: Final = 16
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_SIZES: Final = {0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
"""Bytes of the addresses by family and protocol; elsewhere nothing says where they end."""
_CRC32C: Final = 3
_HIGHEST_PORT: Final = 65535

Address = tuple[str, int]
"""(IP address as text, port). An IPv4 address that is written as an IPv6 one is an IPv4 address."""


class Introduction(NamedTuple):
    """Who is at the other end.

    source       the client
    destination  what the client connected to
    """

    source: Address
    destination: Address


class Parsed(NamedTuple):
    """A whole header.

    introduction  None: the connection is the peer's own, its addresses are the true ones
    size          its length in bytes; what follows belongs to the next layer
    """

    introduction: Introduction | None
    size: int


def parse(data: bytes) -> Parsed | None:
    """The header that `data` begins with; None: more bytes are needed. Raises ProtocolError for what is none."""
    if data[:1] == b"P":
        return _parse_line(data)
    return _parse_binary(data)


def encode(version: Version, introduction: Introduction | None) -> bytes:
    """A header; None: the connection is our own (LOCAL, or UNKNOWN in version 1)."""
    if introduction is None:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _SIGNATURE + bytes((_LOCAL, 0, 0, 0))
    (source, source_port), (destination, destination_port) = introduction
    first, second = ipaddress.ip_address(_bare(source)), ipaddress.ip_address(_bare(destination))
    if first.version != second.version:
        # One family for both: the one that has room for the other.
        first, second = _widened(first), _widened(second)
    if version == "v1":
        texts = (first.version, _text(first), _text(second), source_port, destination_port)
        return "PROXY TCP{} {} {} {} {}\r\n".format(*texts).encode("ascii")
    ports = source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    addresses = first.packed + second.packed + ports
    family = _TCP4 if first.version == 4 else _TCP6
    return _SIGNATURE + bytes((_PROXY, family, 0, len(addresses))) + addresses


def _bare(address: str) -> str:
    """Without the scope of a link-local address: it means something on this machine only."""
    return address.partition("%")[0]


def _widened(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As the specification has it: IPv6 in groups of hexadecimal digits, none of them in dots."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"::ffff:{address.packed[12:14].hex()}:{address.packed[14:].hex()}"
    return str(address)


# -- version 1 ----------------------------------------------------------------------------------------------------


def _parse_line(data: bytes) -> Parsed | None:
    if not data.startswith(_LINE[: len(data)]):
        raise ProtocolError(400, "not a PROXY protocol header")
    line = data[:V1_BYTES]
    # A lone CR or LF does not end it, and is nothing that may stand in it.
    feed, back = line.find(b"\n"), line.find(b"\r")
    if back >= 0 and feed == back + 1:
        return Parsed(_read_line(line[:back]), feed + 1)
    if feed >= 0 or 0 <= back < len(line) - 1:
        raise ProtocolError(400, "PROXY line with a bare CR or LF")
    if len(line) == V1_BYTES:
        raise ProtocolError(400, f"PROXY line over {V1_BYTES} bytes")
    return None


def _read_line(line: bytes) -> Introduction | None:
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return None
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise ProtocolError(400, "PROXY line with other words than a protocol, two addresses and two ports")
    addresses = [_read_address(word, 4 if words[1] == b"TCP4" else 6) for word in words[2:4]]
    ports = [_read_port(word) for word in words[4:]]
    return Introduction((addresses[0], ports[0]), (addresses[1], ports[1]))


def _read_address(word: bytes, version: int) -> str:
    try:
        text = word.decode("ascii")
        address = ipaddress.IPv4Address(text) if version == 4 else ipaddress.IPv6Address(text)
    except ValueError:
        raise ProtocolError(400, f"PROXY line with what is no IPv{version} address") from None
    if "%" in text:
        raise ProtocolError(400, "PROXY line with a scoped IPv6 address")
    return _plain(address)


def _read_port(word: bytes) -> int:
    if not (word.isdigit() and len(word) <= 5 and (word == b"0" or word[:1] != b"0")):
        raise ProtocolError(400, "PROXY line with what is no port")
    port = int(word)
    if port > _HIGHEST_PORT:
        raise ProtocolError(400, "PROXY line with a port over 65535")
    return port


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


# -- version 2 ----------------------------------------------------------------------------------------------------


def _parse_binary(data: bytes) -> Parsed | None:
    if not data.startswith(_SIGNATURE[: len(data)]):
        raise ProtocolError(400, "not a PROXY protocol header")
    if len(data) > 12 and data[12] not in (_LOCAL, _PROXY):
        raise ProtocolError(400, f"PROXY header with version and command {data[12]:#04x}")
    if len(data) > 13 and data[12] == _PROXY and (data[13] >> 4 > 3 or data[13] & 15 > 2):
        raise ProtocolError(400, f"PROXY header with family and protocol {data[13]:#04x}")
    if len(data) < _FIXED:
        return None
    size = _FIXED + int.from_bytes(data[14:16], "big")
    if size > V2_BYTES:
        raise ProtocolError(400, f"PROXY header of {size} bytes, over {V2_BYTES}")
    if len(data) < size:
        return None
    # The family of a LOCAL header counts for nothing, so nobody knows where its fields would begin.
    return Parsed(_read_binary(data[:size]) if data[12] == _PROXY else None, size)


def _read_binary(header: bytes) -> Introduction | None:
    family = header[13]
    size = _SIZES.get(family)
    if size is None:
        return None
    if len(header) < _FIXED + size:
        raise ProtocolError(400, "PROXY header shorter than its addresses")
    _check_fields(header, _FIXED + size)
    if family not in (_TCP4, _TCP6):
        return None
    width = 4 if family == _TCP4 else 16
    at = _FIXED + 2 * width
    make = ipaddress.IPv4Address if width == 4 else ipaddress.IPv6Address
    source, destination = header[_FIXED : _FIXED + width], header[_FIXED + width : at]
    return Introduction(
        (_plain(make(source)), int.from_bytes(header[at : at + 2], "big")),
        (_plain(make(destination)), int.from_bytes(header[at + 2 : at + 4], "big")),
    )


def _check_fields(header: bytes, at: int) -> None:
    """Walk the TLVs behind the addresses (2.2); of all of them only the checksum says something to us."""
    has_checksum = False
    while at < len(header):
        begin = at + 3
        at = begin + int.from_bytes(header[begin - 2 : begin], "big")
        if begin > len(header) or at > len(header):
            raise ProtocolError(400, "PROXY header with a broken TLV")
        if header[begin - 3] == _CRC32C:
            if at - begin != 4 or has_checksum:
                raise ProtocolError(400, "PROXY header with what is no checksum")
            has_checksum = True
            zeroed = header[:begin] + bytes(4) + header[at:]
            if crc32c(zeroed) != int.from_bytes(header[begin:at], "big"):
                raise ProtocolError(400, "PROXY header with a wrong checksum")


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """CRC32c (RFC 9260, appendix A). At most V2_BYTES are ever asked for: 0.3 ms."""
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
