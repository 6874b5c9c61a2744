"""TLSTransport: on real sockets, on each event loop, against the ssl module's own sockets."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from kit.certificates import authority, client_context, server_context
from posthouse.net import tls_transport
from posthouse.net.tls_engine import READ_BYTES, TLSEngine, TLSFault
from unit.net.tls_peers import NAME, Above, Into, Stage, staged

BIG = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def stage(loop: asyncio.AbstractEventLoop) -> Iterator[Stage]:
    with staged(loop) as made:
        yield made


def receive(peer: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = peer.recv(65536)
        if not piece:
            break
        data += piece
    return bytes(data)


# -- the handshake


def test_both_ways(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    assert stage.told == [None] and above.events == ["made"] and above.transport is transport
    with peer:
        transport.write(b"question")
        assert stage.blocking(lambda: peer.recv(100)) == b"question"
        peer.sendall(b"answer")
        stage.run(lambda: above.data)
        assert above.data == b"answer"


def test_as_a_server(stage: Stage) -> None:
    """Listeners stand on the same code."""
    above = Above()
    engine = TLSEngine(server_context(NAME), is_server=True)
    transport, peer = stage.connect(above, client_context(), engine)
    with peer:
        assert above.events == ["made"]
        peer.sendall(b"hello")
        stage.run(lambda: above.data)
        transport.write(b"you too")
        assert stage.blocking(lambda: peer.recv(100)) == b"you too"


def test_what_it_tells_of_itself(stage: Stage) -> None:
    transport, peer = stage.connect(Above())
    with peer:
        told = transport.get_extra_info
        assert told("tls") is transport
        assert told("ssl_object").version() == "TLSv1.3" and told("cipher")[1] == "TLSv1.3"
        assert isinstance(told("sslcontext"), ssl.SSLContext)
        assert ("DNS", NAME) in told("peercert")["subjectAltName"]
        assert told("socket").fileno() > 0
        assert told("nothing", 7) == 7
        assert "open" in repr(transport)


class Dribble:
    """Hands the bytes of one socket on to another one by one, each a segment of its own."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.thread = threading.Thread(target=self._run, args=(source, target), daemon=True)
        self.thread.start()

    def _run(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                for at in range(len(data)):
                    target.sendall(data[at : at + 1])
        except OSError:
            pass


def test_a_handshake_byte_by_byte(stage: Stage) -> None:
    ours, middle_left = socket.socketpair()
    middle_right, theirs = socket.socketpair()
    above = Above()
    with middle_left, middle_right:
        threads = [Dribble(middle_left, middle_right), Dribble(middle_right, middle_left)]
        stage.transport(above, ours)
        theirs.settimeout(10)
        peer = stage.blocking(lambda: server_context(NAME).wrap_socket(theirs, server_side=True))
        stage.run(lambda: stage.told)
        with peer:
            peer.sendall(b"x" * 3000)
            stage.run(lambda: len(above.data) == 3000)
        middle_left.shutdown(socket.SHUT_RDWR)
        middle_right.shutdown(socket.SHUT_RDWR)
        for one in threads:
            one.thread.join(5)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not TLS: the peer's first bytes are b'HTTP/1.1 400 Bad'"),
        (b"SSH-2.0-x\r\n", "not TLS: the peer's first bytes are b'SSH-2.0-x\\r\\n'"),
        (b"", "the peer closed during the TLS handshake"),
    ],
)
def test_a_peer_that_does_not_speak_tls(stage: Stage, said: bytes, reason: str) -> None:
    ours, theirs = socket.socketpair()
    above = Above()
    with theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        transport = stage.transport(above, ours)
        stage.run(lambda: stage.told and transport.is_closing())
    (fault,) = stage.told
    assert isinstance(fault, TLSFault) and fault.reason == reason
    stage.turn()
    assert above.events == [] and len(stage.told) == 1, "nothing above ever heard of it"


def test_a_certificate_that_is_refused(stage: Stage) -> None:
    """The peer is told why."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    transport = stage.transport(Above(), ours)
    with theirs, pytest.raises(ssl.SSLError, match="alert"):
        stage.blocking(lambda: server_context("other.test").wrap_socket(theirs, server_side=True))
    (error,) = stage.told
    assert isinstance(error, ssl.SSLCertVerificationError) and error.verify_code == 62
    stage.run(transport.is_closing)


def test_lost_during_the_handshake(stage: Stage) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport = stage.transport(Above(), ours)
        transport.abort()
        stage.run(lambda: stage.told)
    assert isinstance(stage.told[0], TLSFault) and "handshake" in stage.told[0].reason


# -- bodies


@pytest.mark.parametrize("into", [0, 1000, 300_000], ids=["data", "small buffer", "large buffer"])
def test_a_long_body_arrives_byte_exact(stage: Stage, into: int) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    if into:
        transport.set_protocol(Into(above, into))
        assert isinstance(transport.get_protocol(), Into)
    with peer:
        stage.blocking(lambda: peer.sendall(BIG))
        stage.run(lambda: len(above.data) == len(BIG))
        assert above.data == BIG
        transport.set_protocol(above)
        peer.sendall(b"end")
        stage.run(lambda: above.data.endswith(b"end") or None)
        assert len(above.data) == len(BIG) + 3


def test_a_long_body_leaves_byte_exact(stage: Stage) -> None:
    """The buffer is the caller's again at once."""
    above = Above()
    transport, peer = stage.connect(above)
    with peer:
        for at in range(0, len(BIG), 250_000):
            buffer = bytearray(BIG[at : at + 250_000])
            transport.write(memoryview(buffer))
            buffer[:] = bytes(len(buffer))
        assert stage.blocking(lambda: receive(peer, len(BIG))) == BIG


def test_a_slow_reader_makes_the_writer_wait(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    transport.set_write_buffer_limits(high=0)
    assert max(transport.get_write_buffer_limits()) == 0
    with peer:
        size = 0
        while "full" not in above.events:
            transport.write(BIG[:100_000])
            size += 100_000
        assert transport.get_write_buffer_size() > 0
        assert stage.blocking(lambda: receive(peer, size)) == (BIG[:100_000] * 100)[:size]
        stage.run(lambda: above.events[-1] == "ready")
        assert transport.get_write_buffer_size() == 0


@pytest.mark.parametrize("into", [0, 1000], ids=["data", "buffer"])
def test_a_pause_stops_the_peer(stage: Stage, into: int) -> None:
    """While the protocol above pauses, at most one read waits here; afterwards nothing is missing."""
    above = Above()
    transport, peer = stage.connect(above)
    if into:
        transport.set_protocol(Into(above, into))
    with peer:
        above.on_data = transport.pause_reading
        peer.settimeout(0.3)

        def fill() -> int:
            sent = 0
            try:
                while True:
                    sent += peer.send(BIG[sent : sent + 16384])
            except TimeoutError:
                return sent

        sent = stage.blocking(fill)
        assert sent < 2_000_000, "the kernel's buffers and ours"
        assert above.pieces == 1
        stage.turn()
        assert above.pieces == 1
        above.on_data = None
        transport.resume_reading()
        transport.resume_reading()
        stage.run(lambda: len(above.data) >= sent)
        assert bytes(above.data[:sent]) == BIG[:sent]


def test_resuming_is_never_heard_within_the_call(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    with peer:
        transport.pause_reading()
        peer.sendall(b"x")
        stage.turn()
        transport.resume_reading()
        assert not above.data
        stage.run(lambda: above.data)


def test_on_data_comes_once_and_first(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    seen: list[int] = []
    transport.on_data = lambda: seen.append(len(above.data))
    with peer:
        for _ in range(2):
            peer.sendall(b"x")
            stage.turn()
    assert seen == [0]


# -- ends


def end_of(peer: ssl.SSLSocket) -> str:
    """How the stream of a peer ends: "clean" with close_notify, "cut" without."""
    try:
        return "clean" if peer.recv(100) == b"" else "data"
    except ssl.SSLZeroReturnError:
        return "clean"
    except ssl.SSLEOFError:
        return "cut"
    except ConnectionResetError:
        return "reset"


def test_close_says_goodbye_after_what_is_written(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    with peer:
        transport.write(BIG)
        transport.close()
        assert transport.is_closing()
        transport.close()
        transport.write(b"too late")
        assert stage.blocking(lambda: receive(peer, len(BIG))) == BIG
        assert stage.blocking(lambda: end_of(peer)) == "clean"
        stage.run(lambda: "lost" in above.events)
    assert above.lost is None and above.events.count("lost") == 1


def test_abort_does_not(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    with peer:
        transport.abort()
        assert transport.is_closing()
        assert stage.blocking(lambda: end_of(peer)) in ("cut", "reset")
    assert above.events == ["made", "lost"] and above.lost is None


def test_the_peers_close_notify_is_its_end(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    with peer:
        peer.sendall(b"last")
        unwrapped = stage.blocking(peer.unwrap)
        stage.run(lambda: "lost" in above.events)
        unwrapped.close()
    assert above.data == b"last" and above.events == ["made", "eof", "lost"] and above.lost is None
    assert transport.is_closing()


def test_an_end_without_it_is_a_cut(stage: Stage) -> None:
    above = Above()
    _, peer = stage.connect(above)
    peer.sendall(b"la")
    peer.close()
    stage.run(lambda: "lost" in above.events)
    assert above.data == b"la" and above.events == ["made", "lost"]
    assert isinstance(above.lost, TLSFault) and above.lost.is_cut


def test_a_cut_while_reading_is_paused_comes_after_the_data(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    transport.pause_reading()
    peer.sendall(b"data" * 10_000)
    peer.close()
    stage.turn()
    assert above.events == ["made"]
    transport.resume_reading()
    stage.run(lambda: "lost" in above.events)
    assert len(above.data) == 40_000 and isinstance(above.lost, TLSFault)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_half_closed_by_the_peer(stage: Stage, version: ssl.TLSVersion) -> None:
    """What it ended is its own direction."""
    above = Above(keeps_open=True)
    context = server_context(NAME)
    context.maximum_version = version
    transport, peer = stage.connect(above, context)
    peer.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):
        peer.unwrap()
    stage.run(lambda: "eof" in above.events)
    assert not transport.is_closing()
    transport.write(b"still here")
    peer.settimeout(10)
    assert stage.blocking(lambda: peer.recv(100)) == b"still here"
    transport.close()
    assert stage.blocking(lambda: end_of(peer)) == "clean"
    peer.close()
    assert above.events == ["made", "eof", "lost"]


@pytest.mark.parametrize("waiting", [0, 10, 100_000], ids=str)
def test_half_closed_by_us(stage: Stage, waiting: int) -> None:
    """Data that came before, and data that comes after, is read all the same."""
    above = Above(keeps_open=True)
    transport, peer = stage.connect(above)
    assert transport.can_write_eof()
    with peer:
        transport.pause_reading()
        if waiting:
            peer.sendall(b"b" * waiting)
            stage.turn()
        transport.resume_reading()
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError):
            transport.write(b"x")
        assert stage.blocking(lambda: end_of(peer)) == "clean"
        peer.sendall(b"a" * 50_000)
        stage.run(lambda: len(above.data) == waiting + 50_000)
        assert above.data == b"b" * waiting + b"a" * 50_000
        assert not transport.is_closing()
        stage.blocking(peer.unwrap).close()
        stage.run(lambda: "eof" in above.events)


def test_half_closed_in_the_middle_of_a_delivery(stage: Stage) -> None:
    above = Above(keeps_open=True)
    transport, peer = stage.connect(above)
    transport.set_protocol(Into(above, 1000))
    above.on_data = transport.write_eof
    with peer:
        stage.blocking(lambda: peer.sendall(BIG[:40_000]))
        stage.run(lambda: len(above.data) == 40_000)
        assert above.data == BIG[:40_000]
        assert stage.blocking(lambda: end_of(peer)) == "clean"


def test_garbage_in_the_middle(stage: Stage) -> None:
    above = Above()
    _, peer = stage.connect(above)
    peer.sendall(b"good")
    raw = socket.socket(fileno=peer.detach())
    with raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        stage.run(lambda: "lost" in above.events)
    assert above.data == b"good"
    assert isinstance(above.lost, TLSFault) and not above.lost.is_cut and not above.lost.is_refusal


def test_a_peer_that_wants_a_certificate_and_gets_none(stage: Stage) -> None:
    """In TLS 1.3 our handshake is complete before it can say so."""
    above = Above()
    context = server_context(NAME)
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    stage.transport(above, ours)
    with theirs, pytest.raises(ssl.SSLError):
        stage.blocking(lambda: context.wrap_socket(theirs, server_side=True))
    stage.run(lambda: "lost" in above.events)
    assert stage.told == [None]
    assert isinstance(above.lost, TLSFault) and above.lost.is_refusal
    assert above.lost.reason == "the peer sent the alert 'certificate required'"


def lose_one(stage: Stage) -> None:
    above = Above()
    _, peer = stage.connect(above)
    peer.close()
    stage.run(lambda: "lost" in above.events)


def test_what_has_ended_waits_for_no_collector(stage: Stage) -> None:
    """The protocol above knows its transport, as connections do: without care that would be a circle."""

    def alive() -> int:
        return sum(isinstance(one, ssl.SSLObject) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = alive()
        lose_one(stage)
        stage.transports.clear()
        stage.turn()
        assert alive() == before
    finally:
        gc.enable()


# -- looking and listening


def test_catching_up(stage: Stage) -> None:
    above = Above()
    transport, peer = stage.connect(above)
    assert transport.catch_up() and not above.data, "session tickets are no data"
    peer.sendall(b"unasked")
    assert transport.catch_up()
    assert above.data == b"unasked"
    peer.close()
    assert not transport.catch_up()


def test_catching_up_with_a_goodbye(stage: Stage) -> None:
    above = Above(keeps_open=True)
    transport, peer = stage.connect(above)
    peer.settimeout(0)
    with peer:
        with pytest.raises(ssl.SSLWantReadError):
            peer.unwrap()
        assert not transport.catch_up()
        assert above.events == ["made", "eof"]


def reset(peer: ssl.SSLSocket) -> None:
    """The peer's kernel ends the connection with RST, because what we sent lies there unread."""
    socket.socket(fileno=peer.detach()).close()


def heard(stage: Stage, size: int) -> bytes:
    """What goes up of `size` bytes that the peer sent before it reset the connection."""
    above = Above()
    transport, peer = stage.connect_tcp(above)
    transport.pause_reading()
    transport.write(b"x" * 1000)
    stage.turn()
    peer.sendall(BIG[:size])
    reset(peer)
    while not transport.is_closing():
        transport.write(b"x" * 1000)
        stage.turn(0.001)
    stage.run(lambda: "lost" in above.events)
    assert above.lost is not None
    return bytes(above.data)


@pytest.mark.parametrize("size", [10, 90_000])
def test_what_the_peer_said_before_it_reset_is_heard(stage: Stage, size: int) -> None:
    """A write fails, the plain transport is lost, and the kernel still has the answer."""
    assert heard(stage, size) == BIG[:size]


def test_only_so_much_of_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_transport, "HEAR_BYTES", 1)
    assert 0 < len(heard(stage, 90_000)) <= READ_BYTES
