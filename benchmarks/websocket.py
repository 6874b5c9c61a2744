"""WebSocket frames and handshakes, made once: what `echo.py` and `chat.py` send and count (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = base64.b64encode(b"posthouse bench!")


def accept(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for a key (RFC 6455 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


def asked(port: int) -> bytes:
    """A client's handshake."""
    lines = [
        b"GET /chat HTTP/1.1",
        b"Host: 127.0.0.1:%d" % port,
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Version: 13",
    ]
    return b"\r\n".join([*lines, b"", b""])


def granted(head: bytes) -> bytes | None:
    """The answer to a client's handshake; None if it is not one."""
    name, _, rest = head.lower().partition(b"\r\nsec-websocket-key:")
    if not rest:
        return None
    start = len(name) + len(b"\r\nsec-websocket-key:")
    key = head[start:].split(b"\r\n", 1)[0].strip()
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept(key),
    ]
    return b"\r\n".join([*lines, b"", b""])


def frame(size: int, *, is_masked: bool) -> bytes:
    """A binary message of so many bytes in one frame; as from a client if masked (RFC 6455 5.2).

    Proxies do not look into frames, so the mask is zero and the payload stays as it is.
    """
    if size < 126:
        head = bytes((0x82, size | (0x80 if is_masked else 0)))
    elif size < 65536:
        head = bytes((0x82, 126 | (0x80 if is_masked else 0))) + size.to_bytes(2)
    else:
        head = bytes((0x82, 127 | (0x80 if is_masked else 0))) + size.to_bytes(8)
    return head + (bytes(4) if is_masked else b"") + b"m" * size
