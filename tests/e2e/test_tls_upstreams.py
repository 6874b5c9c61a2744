"""Backends over TLS: who is trusted, what is sent, what is kept, and what broken ones lead to."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e import peers
from e2e.tls_backends import TLSBackend, TLSPeer
from e2e.tunnels import SWITCHING, open_tunnel, take
from kit import Posthouse, RawClient, Request, ScriptedBackend, Truncated, get, request, response
from kit.certificates import (
    authority,
    old_server_context,
    self_signed_context,
    server_context,
    write_authority,
    write_pair,
)
from kit.tables import POISON

BODY = random.Random(5).randbytes(10 << 20)

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    log / access.log json
    proxy / GOOD {
        ca_certificates CA
    }
    proxy /fresh GOOD {
        ca_certificates CA
        keepalive 0
    }
    proxy /host GOOD {
        ca_certificates CA
        header_upstream Host other.test
    }
    proxy /transparent GOOD {
        ca_certificates CA
        transparent
    }
    proxy /address ADDRESS {
        ca_certificates CA
    }
    proxy /wrong WRONG {
        ca_certificates CA
    }
    proxy /expired EXPIRED {
        ca_certificates CA
    }
    proxy /unknown UNKNOWN {
        ca_certificates CA
    }
    proxy /several UNKNOWN {
        ca_certificates CA OTHER_AUTHORITY
    }
    proxy /self SELF {
        ca_certificates CA
    }
    proxy /insecure SELF {
        insecure_skip_verify
    }
    proxy /system GOOD
    proxy /mutual MUTUAL {
        ca_certificates CA
        tls_client CERTIFICATE KEY
    }
    proxy /anonymous MUTUAL {
        ca_certificates CA
    }
    proxy /anonymous/retried MUTUAL GOOD {
        ca_certificates CA
        policy first
        try_duration 5s
    }
    proxy /old OLD {
        ca_certificates CA
    }
    proxy /mixed GOOD http://PLAIN {
        ca_certificates CA
        policy round_robin
    }
    proxy /plain https://PLAIN {
        ca_certificates CA
    }
    proxy /retried WRONG GOOD {
        ca_certificates CA
        policy first
        try_duration 5s
    }
    proxy /counted WRONG {
        ca_certificates CA
        fail_timeout 1m
    }
    proxy /raw RAW {
        ca_certificates CA
        timeout 300ms
    }
    proxy /patient RAW {
        ca_certificates CA
    }
}
"""


class Town:
    """Backends with each kind of certificate, and one Posthouse in front of them all."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        def start(context: ssl.SSLContext) -> TLSBackend:
            return stack.enter_context(TLSBackend(context))

        self.good = start(server_context("localhost", "127.0.0.1"))
        self.wrong = start(server_context("other.test"))
        self.expired = start(server_context("localhost", expired=True))
        self.unknown = start(server_context("localhost", by="second"))
        self.self_signed = start(self_signed_context("localhost", folder))
        mutual = server_context("localhost")
        mutual.verify_mode = ssl.CERT_REQUIRED
        authority().configure_trust(mutual)
        self.mutual = start(mutual)
        self.old = start(old_server_context("localhost"))
        self.raw = start(server_context("localhost"))
        self.plain = stack.enter_context(ScriptedBackend())
        certificate, key = write_pair(folder, "us.test")
        names = {
            "GOOD": self.good.address,
            "ADDRESS": f"https://127.0.0.1:{self.good.port}",
            "WRONG": self.wrong.address,
            "EXPIRED": self.expired.address,
            "UNKNOWN": self.unknown.address,
            "SELF": self.self_signed.address,
            "MUTUAL": self.mutual.address,
            "OLD": self.old.address,
            "RAW": self.raw.address,
            "PLAIN": self.plain.address,
            "CA": write_authority(folder),
            "OTHER_AUTHORITY": write_authority(folder, "second"),
            "CERTIFICATE": certificate,
            "KEY": key,
        }
        self.posthouse = stack.enter_context(Posthouse(CADDYFILE, **names))  # type: ignore[arg-type]
        self.port = self.posthouse.named_port()

    def clear(self) -> None:
        for backend in (self.good, self.mutual, self.raw, self.unknown, self.self_signed):
            backend.on_request = backend.on_raw = None
            backend.requests.clear()
            backend.handshakes.clear()
        self.written = len(self.posthouse.stderr())

    def get(self, target: str) -> int:
        return get(self.port, target).status

    def client(self) -> RawClient:
        return RawClient(self.port)

    def assert_refused(self, target: str, reason: str) -> None:
        """502, and the process log says what was verified and why it failed."""
        assert self.get(target) == 502
        self.posthouse.wait_stderr(f'failure=tls reason="{re.escape(reason)}.*uri={target}$')

    def logged_failure(self, target: str) -> object:
        """`failure` in the access log, which is written in batches."""
        lines = self.posthouse.wait_access(1)
        while not (found := [one for one in map(json.loads, lines) if one["uri"] == target]):
            lines = self.posthouse.wait_access(len(lines) + 1)
        return found[-1]["failure"]


@pytest.fixture(scope="module")
def shared_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with ExitStack() as stack:
        yield Town(stack, tmp_path_factory.mktemp("tls"))


@pytest.fixture
def town(shared_town: Town) -> Iterator[Town]:
    shared_town.clear()
    yield shared_town
    written = shared_town.posthouse.stderr()[shared_town.written :]
    print(written)
    assert "internal error" not in written and "Traceback" not in written
    shared_town.good.on_request = None
    assert shared_town.get("/alive") == 200


# -- who is trusted


def test_a_good_backend_is_used_again(town: Town) -> None:
    assert [town.get("/again") for _ in range(3)] == [200] * 3
    assert len(town.good.handshakes) <= 1, "one connection, or the one of the test before"
    assert {asked.target for asked in town.good.requests} == {b"/again"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (
            "/wrong",
            "certificate verify failed for localhost: hostname mismatch, certificate is for other.test",
        ),
        ("/expired", "certificate verify failed for localhost: certificate has expired"),
        ("/unknown", "certificate verify failed for localhost: unable to get local issuer certificate"),
        ("/system", "certificate verify failed for localhost: unable to get local issuer certificate"),
        ("/self", "certificate verify failed for localhost: self-signed certificate"),
        ("/old", "TLS handshake failed: the peer sent the alert 'protocol version'"),
        ("/plain", "not TLS: the peer's first bytes are b'HTTP/1.1 400 Bad'"),
        ("/anonymous", "the peer sent the alert 'certificate required'"),
    ],
)
def test_what_is_refused_says_why(town: Town, target: str, reason: str) -> None:
    def refuse(connection: object) -> None:
        sock = connection.socket  # type: ignore[attr-defined]
        sock.recv(1)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    town.plain.on_connect = refuse
    try:
        town.assert_refused(target, reason)
    finally:
        town.plain.on_connect = None
    for backend in (town.wrong, town.expired, town.old):
        assert not backend.requests


@pytest.mark.parametrize("target", ["/insecure", "/several", "/mutual", "/address"])
def test_what_is_trusted(town: Town, target: str) -> None:
    assert town.get(target) == 200


def test_our_certificate_is_shown(town: Town) -> None:
    assert town.get("/mutual") == 200
    if town.mutual.handshakes:
        assert "us.test" in str(town.mutual.handshakes[-1].certificate)


def test_the_name_is_the_tos_whatever_host_is_sent(town: Town) -> None:
    assert [town.get(target) for target in ("/host", "/transparent", "/fresh")] == [200] * 3
    assert town.good.handshakes[-1].sni == "localhost"
    hosts = [asked.field("Host") for asked in town.good.requests]
    assert hosts[:2] == [b"other.test", b"site.test"]


def test_an_address_is_no_server_name(town: Town) -> None:
    town.good.close_connections()
    assert town.get("/address") == 200
    assert [seen.sni for seen in town.good.handshakes] == [None]


def test_only_http_1_is_offered(town: Town) -> None:
    town.good.context.set_alpn_protocols(["h2", "http/1.1"])
    assert town.get("/fresh") == 200
    assert town.good.handshakes[-1].alpn == "http/1.1"
    assert town.good.handshakes[-1].version == "TLSv1.3"


# -- failures


def test_any_request_goes_on_to_another_backend(town: Town) -> None:
    """A refused handshake means that nothing was sent."""
    with town.client() as client:
        answer = client.exchange(request("POST", "/retried", body=b"precious"))
    assert answer.status == 200
    assert [asked.body for asked in town.good.requests] == [b"precious"]


def test_also_when_the_backend_refuses_us(town: Town) -> None:
    """In TLS 1.3 its refusal arrives when our request may have left; it was never read."""
    for _ in range(5):
        with town.client() as client:
            answer = client.exchange(request("POST", "/anonymous/retried"))
        assert answer.status == 200
    assert not town.mutual.requests
    assert len(town.good.requests) == 5


def test_it_counts_against_the_backend(town: Town) -> None:
    assert [town.get("/counted") for _ in range(2)] == [502, 503]


def test_a_mixed_pool(town: Town) -> None:
    assert [town.get("/mixed") for _ in range(4)] == [200] * 4
    assert len(town.good.requests) == 2
    assert len([one for one in town.plain.requests if one.target == b"/mixed"]) == 2


def test_a_handshake_that_stalls(town: Town) -> None:
    done = threading.Event()
    town.raw.on_raw = lambda sock: done.wait(10)
    try:
        assert town.get("/raw") == 504
    finally:
        done.set()
    town.posthouse.wait_stderr(r"failure=connect_timeout reason=\"no TLS handshake within 0.3 s\"")


def test_closed_during_the_handshake(town: Town) -> None:
    town.raw.on_raw = lambda sock: sock.recv(65536)
    town.assert_refused("/raw", "the peer closed during the TLS handshake")


def test_a_handshake_byte_by_byte(town: Town) -> None:
    def dribble(sock: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", town.good.port)) as behind:
            behind.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threads = [threading.Thread(target=drip, args=ends) for ends in ((sock, behind), (behind, sock))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)

    def drip(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                for at in range(len(data)):
                    target.sendall(data[at : at + 1])
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    town.raw.on_raw = dribble
    with town.client() as client:
        answer = client.exchange(request("POST", "/patient", [("Connection", "close")], body=b"x" * 3000))
    assert answer.status == 200
    assert town.good.requests[0].body == b"x" * 3000
    town.good.close_connections()


# -- ends of connections


@pytest.mark.parametrize("how", ["clean", "cut", "reset"])
def test_only_close_notify_completes_a_body_without_length(town: Town, how: str) -> None:
    """RFC 9112 9.8: an end of the connection without it is a truncation."""

    def answer(asked: Request, peer: TLSPeer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall there is")
        if how == "clean":
            peer.say_goodbye()
        if how == "reset":
            peer.reset()
        else:
            peer.cut()

    town.good.on_request = answer
    target = f"/open-{how}"
    with town.client() as client:
        client.send(request("GET", target))
        if how == "clean":
            assert client.read_response().body == b"all there is"
            return
        with pytest.raises(Truncated) as ended:
            client.read_response()
        if ended.value.partial is not None:
            assert b"all there is".startswith(ended.value.partial.body)
    if how == "cut":
        town.posthouse.wait_stderr('failure=truncated reason="the peer closed without close_notify"')
        assert town.logged_failure(target) == "truncated"
        assert town.get("/wrong?log") == 502
        assert town.logged_failure("/wrong?log") == "tls"


def test_an_answer_of_known_length_needs_none(town: Town) -> None:
    def answer(asked: Request, peer: TLSPeer) -> None:
        peer.send(response(200, body=b"complete"))
        peer.cut()

    town.good.on_request = answer
    assert get(town.port, "/cut-after").body == b"complete"


@pytest.mark.parametrize("how", ["say_goodbye", "cut"])
def test_a_connection_that_was_closed_while_idle(town: Town, how: str) -> None:
    """A request that could not be sent twice does not meet it."""
    assert town.get("/warm") == 200
    for _ in range(5):
        peer = town.good.peers[-1]
        getattr(peer, how)()
        peer.close()
        with town.client() as client:
            assert client.exchange(request("POST", "/post", body=b"x")).status == 200
    assert len(town.good.requests) == 6
    assert "upstream failed" not in town.posthouse.stderr()[town.written :]


def test_an_early_answer_is_heard(town: Town) -> None:
    """The backend refuses an upload without reading it, and its kernel resets the connection."""

    def refuse(asked: Request, peer: TLSPeer) -> None:
        peer.send(response(403, [("Connection", "close")], body=b"no"))
        peer.reset() if asked.target == b"/early/reset" else peer.socket.close()

    town.good.on_request = refuse
    for _ in range(10):
        with town.client() as client:
            client.send(request("POST", "/early", [("Content-Length", str(4 << 20))]) + BODY[: 1 << 20])
            assert client.read_response().status == 403


# -- bodies and tunnels


def test_long_bodies_both_ways(town: Town) -> None:
    def answer(asked: Request, peer: TLSPeer) -> bytes:
        if asked.method == b"GET":
            return response(200, body=BODY)
        return response(200, body=hashlib.sha256(asked.body).hexdigest().encode())

    town.good.on_request = answer
    with town.client() as client:
        assert client.exchange(request("GET", "/long")).body == BODY
        uploaded = client.exchange(request("POST", "/long", body=BODY))
        assert uploaded.body == hashlib.sha256(BODY).hexdigest().encode()
        assert client.exchange(request("GET", "/long")).body == BODY


def test_bytes_after_a_long_body_are_nobodys_answer(town: Town) -> None:
    """They wait decrypted where a plain connection would not have read them yet."""
    body = BODY[:300_000]

    def answer(asked: Request, peer: TLSPeer) -> bytes:
        return response(200, body=body) + (POISON if asked.target == b"/first" else b"")

    town.good.on_request = answer
    with town.client() as client:
        for _ in range(5):
            client.send(request("GET", "/first") + request("GET", "/second"))
            for _ in range(2):
                assert client.read_response().body == body


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_slow_readers_get_every_byte(town: Town, loop: str) -> None:
    """Two exchanges on one connection, each way, through buffers that are full all the time."""
    part = BODY[: 1 << 20]

    def answer(asked: Request, peer: TLSPeer) -> bytes:
        return response(200, body=part if asked.method == b"GET" else hashlib.sha256(asked.body).digest())

    def slow(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)

    text = "http://:PORT {\n bind 127.0.0.1\n proxy / TO {\n ca_certificates CA\n}\n}"
    with (
        TLSBackend(on_socket=slow) as backend,
        Posthouse(
            text, TO=backend.address, CA=town.posthouse.names["CA"], env={"POSTHOUSE_LOOP": loop}
        ) as own,
        RawClient(own.named_port()) as client,
    ):
        backend.on_request = answer
        slow(client.socket)
        for _ in range(2):
            assert client.exchange(request("GET", "/")).body == part
            assert client.exchange(request("POST", "/", body=part)).body == hashlib.sha256(part).digest()
        assert len(backend.handshakes) == 1


def test_memory_stays_bounded_while_a_client_does_not_read(town: Town) -> None:
    sent = threading.Event()

    def answer(asked: Request, peer: TLSPeer) -> bytes:
        peer.socket.settimeout(0.3)
        try:
            return response(200, body=BODY * 6)
        finally:
            sent.set()

    town.good.on_request = answer
    before = town.posthouse.memory()
    with town.client() as client:
        client.send(request("GET", "/stalled"))
        assert client.read_head().status == 200
        assert sent.wait(5)
        town.good.wait(lambda: town.good.peers[-1].socket.fileno() < 0, 10)
        assert town.posthouse.memory() - before < 8 << 20


def test_a_tunnel(town: Town) -> None:
    def switch(asked: Request, peer: TLSPeer) -> None:
        peer.send(SWITCHING + b"hello")
        while not peer.fill():
            peer.send(bytes(peer.buffer).upper())
            peer.buffer.clear()
        peer.send(b"bye")
        peer.say_goodbye()
        peer.close()

    town.good.on_request = switch
    with town.client() as client:
        open_tunnel(client, "/tunnel")
        take(client, b"hello")
        for _ in range(3):
            client.send(b"abc")
            take(client, b"ABC")
        client.finish_sending()
        take(client, b"bye")
        assert client.end() == "fin"
    assert town.good.peers[-1].ended == "clean", "the end of the client's half was said in TLS"


# -- sessions, reload, health


def test_sessions_are_resumed(town: Town) -> None:
    assert [town.get("/fresh") for _ in range(3)] == [200] * 3
    assert [seen.is_resumed for seen in town.good.handshakes][1:] == [True, True]


RELOADED = """
http://:PORT {
    bind 127.0.0.1
    proxy / TO {
        CHANGED
    }
}
"""


def reload(own: Posthouse, text: str | None = None) -> None:
    before = own.stderr().count("INFO reloaded")
    own.reload(own.config.read_text() if text is None else text)
    own.wait_stderr(rf"(INFO reloaded[\s\S]*){{{before + 1}}}")


def test_reloads(town: Town, tmp_path: Path) -> None:
    """Equal files keep connections, others don't, and one that cannot be used leaves the old configuration."""
    file = tmp_path / "ca.pem"
    shutil.copy(town.posthouse.names["CA"], file)
    with (
        TLSBackend(server_context("localhost")) as backend,
        Posthouse(RELOADED.replace("CHANGED", f"ca_certificates {file}"), TO=backend.address) as own,
    ):
        port = own.named_port()
        assert get(port, "/").status == 200
        reload(own)
        assert get(port, "/").status == 200
        assert len(backend.handshakes) == 1
        file.write_text("nothing")
        own.reload(own.config.read_text())
        own.wait_stderr(r"reload failed, the old configuration stays")
        own.wait_stderr(
            rf"place=.*Caddyfile:5:25 mistake=\"`{re.escape(str(file))}` holds no certificate in PEM form\""
        )
        assert get(port, "/").status == 200
        assert len(backend.handshakes) == 1
        file.write_bytes(authority("second").cert_pem.bytes())
        reload(own)
        backend.wait(lambda: backend.peers[0].ended)
        assert backend.peers[0].ended == "clean", "an idle connection says goodbye"
        assert get(port, "/").status == 502
        reload(own, RELOADED.replace("CHANGED", "insecure_skip_verify"))
        assert get(port, "/").status == 200
        assert [seen.is_resumed for seen in backend.handshakes if not seen.error] == [False, False]


def test_health_checks_use_the_same_tls(town: Town) -> None:
    text = """
http://:PORT {
    bind 127.0.0.1
    proxy / GOOD {
        ca_certificates CA
        health_check /health
        health_check_interval 50ms
    }
    proxy /wrong WRONG {
        ca_certificates CA
        health_check /health
        health_check_interval 50ms
    }
}
"""
    names = town.posthouse.names
    with Posthouse(text, GOOD=names["GOOD"], WRONG=names["WRONG"], CA=names["CA"]) as own:
        own.wait_stderr(r"WARN [^\n]*hostname mismatch")
        town.good.wait(lambda: any(one.target == b"/health" for one in town.good.requests))
        assert get(own.named_port(), "/").status == 200
        assert get(own.named_port(), "/wrong").status == 503


# -- real peers


def in_front(stack: ExitStack, to: str, ca: str) -> Callable[..., int]:
    own = Posthouse("http://:PORT {\n bind 127.0.0.1\n proxy / TO {\n ca_certificates CA\n}\n}", TO=to, CA=ca)
    stack.enter_context(own)
    return own.named_port


@pytest.mark.peer
def test_nginx(town: Town, tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "localhost")
    command = peers.nginx(tmp_path, f"ssl_certificate {certificate}; ssl_certificate_key {key}")
    (tmp_path / "files" / "large.bin").write_bytes(BODY)
    with ExitStack() as stack:
        peer = stack.enter_context(peers.running(command, tmp_path))
        port = in_front(stack, f"https://localhost:{peer.port}", town.posthouse.names["CA"])()
        with RawClient(port) as client:
            for number in range(50):  # nginx closes after 20 requests
                answer = client.exchange(request("GET", f"/count?{number}"))
                assert (answer.status, answer.body) == (200, b"GET /count?%d" % number)
            assert client.exchange(request("GET", "/large.bin")).body == BODY
            assert client.exchange(request("HEAD", "/large.bin"), "HEAD").status == 200
        for _ in range(5):
            with RawClient(port) as client:  # over client_max_body_size: refused early
                client.send(request("POST", "/put", [("Content-Length", str(4 << 20))]) + BODY[: 1 << 20])
                assert client.read_response().status == 413


@pytest.mark.peer
def test_openssl(town: Town, tmp_path: Path) -> None:
    program = peers.require("openssl")
    certificate, key = write_pair(tmp_path, "localhost")
    (tmp_path / "page").write_text("a page")

    def command(port: int) -> list[str]:
        return [
            program,
            "s_server",
            "-HTTP",
            "-quiet",
            "-accept",
            str(port),
            "-cert",
            certificate,
            "-key",
            key,
        ]

    with ExitStack() as stack:
        peer = stack.enter_context(peers.running(command, tmp_path))
        port = in_front(stack, f"https://localhost:{peer.port}", town.posthouse.names["CA"])()
        (tmp_path / "answer").write_bytes(b"HTTP/1.1 200 OK\r\n\r\nfrom openssl")
        for _ in range(3):
            answer = get(port, "/answer")
            assert (answer.status, answer.body) == (200, b"from openssl")
