"""TLSEngine: two of them talk to each other in memory."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from kit.certificates import client_context, server_context
from posthouse.net.tls_engine import RECORD_BYTES, Scratch, TLSEngine, TLSFault, fault_of

NAME = "backend.test"
PLAIN = bytes(range(256)) * 400


def shake(client: TLSEngine, server: TLSEngine) -> None:
    """Both handshakes to their end, session tickets included."""
    done = [False, False]
    for _ in range(6):
        for at, (one, other) in enumerate(((client, server), (server, client))):
            done[at] = done[at] or one.shake_hands()
            other.feed(one.take())
    assert done == [True, True]
    space = memoryview(bytearray(100))
    assert client.read_into(space) == server.read_into(space) == 0


@pytest.fixture
def pair() -> tuple[TLSEngine, TLSEngine]:
    client = TLSEngine(client_context(), name=NAME)
    server = TLSEngine(server_context(NAME), is_server=True)
    shake(client, server)
    return client, server


def read(engine: TLSEngine, size: int = 65536) -> bytes:
    """All that is there, read `size` bytes at a time."""
    space = memoryview(bytearray(size))
    data = b""
    while got := engine.read_into(space):
        data += space[:got]
    return data


@pytest.mark.parametrize("size", [1, 1000, RECORD_BYTES, 65536])
def test_what_is_sealed_can_be_read(pair: tuple[TLSEngine, TLSEngine], size: int) -> None:
    client, server = pair
    pieces = client.seal(PLAIN)
    assert len(pieces) == -(-len(PLAIN) // RECORD_BYTES), "a record each"
    server.feed(b"".join(pieces))
    assert not server.is_dry
    assert read(server, size) == PLAIN
    assert server.is_dry


@pytest.mark.parametrize("length", [1, RECORD_BYTES, RECORD_BYTES + 1])
def test_a_record_holds_so_much(pair: tuple[TLSEngine, TLSEngine], length: int) -> None:
    assert len(pair[0].seal(b"x" * length)) == 1 + (length > RECORD_BYTES)


def test_pieces_of_a_record(pair: tuple[TLSEngine, TLSEngine]) -> None:
    client, server = pair
    (record,) = client.seal(b"hello")
    for at in range(len(record) - 1):
        server.feed(record[at : at + 1])
        assert read(server) == b""
        assert server.is_dry, "a part of a record is nothing to read"
    server.feed(record[-1:])
    assert read(server) == b"hello"


def test_what_is_held_may_lose_its_buffer(pair: tuple[TLSEngine, TLSEngine]) -> None:
    client, server = pair
    buffer = bytearray(b"".join(client.seal(PLAIN)))
    server.feed(memoryview(buffer))
    space = memoryview(bytearray(10))
    assert server.read_into(space) == 10
    server.hold()
    buffer[:] = bytes(len(buffer))
    assert bytes(space) + read(server) == PLAIN


def test_feeding_more_before_all_is_read_keeps_the_order(pair: tuple[TLSEngine, TLSEngine]) -> None:
    client, server = pair
    server.feed(b"".join(client.seal(PLAIN)))
    server.feed(b"".join(client.seal(b"end")))
    assert read(server) == PLAIN + b"end"


def test_close_notify_is_the_end(pair: tuple[TLSEngine, TLSEngine]) -> None:
    client, server = pair
    last = client.seal(b"last")[0]
    client.end()
    client.end()
    server.feed(last + client.take())
    assert not server.has_ended
    assert read(server) == b"last"
    assert server.has_ended
    client.feed(server.seal(b"still heard")[0])
    assert read(client) == b"still heard", "the other direction goes on"


def test_an_error_comes_after_what_was_good(pair: tuple[TLSEngine, TLSEngine]) -> None:
    client, server = pair
    server.feed(client.seal(b"good")[0] + b"\x17\x03\x03\x00\x20" + b"x" * 32)
    space = memoryview(bytearray(100))
    assert server.read_into(space) == 4
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            server.read_into(space)
    assert server.take(), "an alert says why"


def test_end_before_the_handshake_says_nothing() -> None:
    engine = TLSEngine(client_context(), name=NAME)
    engine.end()
    assert engine.take() == b""


@pytest.mark.parametrize("name", ["", ".a"])
def test_names_that_no_certificate_can_be_for(name: str) -> None:
    with pytest.raises(ValueError):
        TLSEngine(client_context(), name=name)


@pytest.mark.parametrize(
    ("reason", "said", "is_refusal"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "the peer sent the alert 'certificate required'", True),
        ("TLSV1_ALERT_UNKNOWN_CA", "the peer sent the alert 'unknown ca'", True),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "the peer sent the alert 'bad certificate'", True),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "the peer sent the alert 'protocol version'", True),
        ("SSLV3_ALERT_BAD_RECORD_MAC", "the peer sent the alert 'bad record mac'", False),
        ("UNSUPPORTED_PROTOCOL", "the peer speaks no TLS 1.2 or newer", False),
        ("WRONG_VERSION_NUMBER", "wrong version number", False),
    ],
)
def test_errors_in_words(reason: str, said: str, is_refusal: bool) -> None:
    error: Any = ssl.SSLError(1, "long text")
    error.reason = reason
    fault = fault_of(error)
    assert (fault.reason, fault.is_refusal, fault.is_cut) == (said, is_refusal, False)
    assert isinstance(fault, TLSFault) and str(fault) == said


def test_scratch_buffers_are_two() -> None:
    scratch = Scratch()
    scratch.raw[0] = 1
    assert scratch.plain[0] == 0 and len(scratch.plain) >= len(scratch.raw)
