"""TLS identities: what makes two the same, files that cannot be used, sessions, and words for refusals."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from kit.certificates import authority, server_context, write_authority, write_pair
from posthouse.config.specs import EndpointSpec, FileSpec, TLSSpec
from posthouse.errors import ConfigError, Place
from posthouse.net import tls
from posthouse.net.tls import ClientTLS, Dial, Identities, server_name
from posthouse.net.tls_engine import TLSEngine, TLSFault

HERE = Place("Caddyfile", 3, 9)


def at(host: str, port: int = 443) -> EndpointSpec:
    return EndpointSpec(f"https://{host}", "https", host, port)


def trusting(*paths: str) -> TLSSpec:
    return TLSSpec(ca_certificates=tuple(FileSpec(path, HERE) for path in paths))


def presenting(certificate: str, key: str) -> TLSSpec:
    return TLSSpec(client=(FileSpec(certificate, HERE), FileSpec(key, Place("Caddyfile", 3, 20))))


def shake(dial: Dial, context: ssl.SSLContext) -> TLSEngine:
    """Both sides to the end, the tickets included; the server's side. Raises ssl.SSLError of ours."""
    server = TLSEngine(context, is_server=True)
    space = memoryview(bytearray(1000))
    for _ in range(4):
        dial.engine.shake_hands()
        server.feed(dial.engine.take())
        server.shake_hands()
        dial.engine.feed(server.take())
    dial.engine.feed(server.seal(b"hello")[0])
    assert dial.engine.read_into(space) == 5
    return server


# -- identities


def test_equal_settings_are_one_identity(tmp_path: Path) -> None:
    path = write_authority(tmp_path)
    identities = Identities()
    first = identities.get(trusting(path))
    assert identities.get(trusting(path)) is first
    assert identities.get(trusting(write_authority(tmp_path, "first"))) is first
    assert identities.get(TLSSpec()) is identities.get(TLSSpec())
    assert repr(first).startswith("<ClientTLS ")


def test_a_changed_file_is_another_identity(tmp_path: Path) -> None:
    path = write_authority(tmp_path)
    identities = Identities()
    first = identities.get(trusting(path))
    Path(path).write_bytes(authority("second").cert_pem.bytes())
    assert identities.get(trusting(path)) is not first


def test_every_setting_makes_another_identity(tmp_path: Path) -> None:
    ca, (own, key) = write_authority(tmp_path), write_pair(tmp_path, "us")
    identities = Identities()
    specs = [
        TLSSpec(),
        TLSSpec(insecure_skip_verify=True),
        trusting(ca),
        trusting(ca, ca),
        presenting(own, key),
    ]
    assert len({identities.get(spec) for spec in specs}) == len({id(identities.get(s)) for s in specs}) == 5


def test_an_identity_that_nobody_uses_is_forgotten() -> None:
    identities = Identities()
    known = identities.get(TLSSpec())
    assert len(identities._known) == 1
    del known
    gc.collect()
    assert len(identities._known) == 0


def test_only_tls_that_is_still_good() -> None:
    context = Identities().get(TLSSpec())._context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION and context.options & ssl.OP_NO_RENEGOTIATION
    assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED


# -- files


def encrypted(tmp_path: Path) -> tuple[str, str]:
    own, key = write_pair(tmp_path, "us")
    loaded = load_pem_private_key(Path(key).read_bytes(), None)
    Path(key).write_bytes(
        loaded.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret")
        )
    )
    return own, key


def swapped(tmp_path: Path) -> tuple[str, str]:
    return write_pair(tmp_path, "us")[0], write_pair(tmp_path, "them")[1]


def empty_certificate(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "empty").write_text("")
    return str(tmp_path / "empty"), write_pair(tmp_path, "us")[1]


def certificate_twice(tmp_path: Path) -> tuple[str, str]:
    own, _ = write_pair(tmp_path, "us")
    return own, own


def broken_certificate(tmp_path: Path) -> tuple[str, str]:
    own, key = write_pair(tmp_path, "us")
    Path(own).write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return own, key


@pytest.mark.parametrize(
    ("make", "column", "what"),
    [
        (
            lambda folder: ("/nowhere", write_pair(folder, "us")[1]),
            9,
            "`/nowhere` cannot be read: No such file or directory",
        ),
        (encrypted, 20, "is encrypted: there is nobody to ask for its password"),
        (swapped, 20, "is not the key of the certificate in `"),
        (empty_certificate, 9, "holds no certificate in PEM form"),
        (certificate_twice, 20, "holds no private key in PEM form"),
        (broken_certificate, 9, "hold no certificate and key that can be used"),
    ],
)
def test_client_certificates_that_cannot_be_used(
    tmp_path: Path, make: Callable[[Path], tuple[str, str]], column: int, what: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        Identities().get(presenting(*make(tmp_path)))
    (mistake,) = raised.value.mistakes
    assert (mistake.place.line, mistake.place.column) == (3, column)
    assert what in mistake.message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "holds no certificate in PEM form"),
        ("no certificate", "holds no certificate in PEM form"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "holds a certificate that cannot be read",
        ),
    ],
    ids=["missing", "empty", "text", "broken"],
)
def test_authorities_that_cannot_be_used(tmp_path: Path, content: str | None, what: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError) as raised:
        Identities().get(trusting(write_authority(tmp_path), str(path)))
    (mistake,) = raised.value.mistakes
    assert mistake.place == HERE and mistake.message.startswith(f"`{path}` {what}")
    assert mistake.width == len(str(path))


# -- names and verification


@pytest.mark.parametrize(
    ("host", "name"), [("db.internal", "db.internal"), ("", "localhost"), ("fe80::1%eth0", "fe80::1")]
)
def test_the_name_is_the_hosts_of_the_to(host: str, name: str) -> None:
    assert server_name(at(host)) == name


def refusal(identity: ClientTLS, host: str, context: ssl.SSLContext) -> str:
    dial = identity.dial(at(host))
    with pytest.raises(ssl.SSLError) as raised:
        shake(dial, context)
    return dial.explain(raised.value)


def test_refusals_in_words(tmp_path: Path) -> None:
    identity = Identities().get(trusting(write_authority(tmp_path)))
    names = ["a.test", "b.test", "c.test", "10.0.0.1", "d.test"]
    for host, context, said in [
        ("db.test", server_context("a.test"), "hostname mismatch, certificate is for a.test"),
        (
            "db.test",
            server_context(*names),
            "hostname mismatch, certificate is for a.test, b.test, c.test, 10.0.0.1 and 1 more",
        ),
        ("10.0.0.2", server_context("10.0.0.1"), "IP address mismatch, certificate is for 10.0.0.1"),
        ("db.test", server_context("db.test", by="second"), "unable to get local issuer certificate"),
        ("db.test", server_context("db.test", expired=True), "certificate has expired"),
    ]:
        assert refusal(identity, host, context) == f"certificate verify failed for {host}: {said}"


def test_what_else_goes_wrong_in_words() -> None:
    dial = Identities().get(TLSSpec()).dial(at("db.test"))
    assert dial.explain(TLSFault("not TLS")) == "not TLS"
    error: Any = ssl.SSLError(1, "long text")
    error.reason = "NO_PROTOCOLS_AVAILABLE"
    assert dial.explain(error) == "TLS handshake failed: no protocols available"


def test_an_ip_address_is_verified_and_not_sent_as_sni(tmp_path: Path) -> None:
    identity = Identities().get(trusting(write_authority(tmp_path)))
    asked: list[str | None] = []
    context = server_context("127.0.0.1", "db.test")
    context.sni_callback = lambda connection, name, context: asked.append(name)
    shake(identity.dial(at("127.0.0.1")), context)
    shake(identity.dial(at("db.test")), context)
    assert asked == [None, "db.test"]


def test_skipping_verification_accepts_anything() -> None:
    identity = Identities().get(TLSSpec(insecure_skip_verify=True))
    shake(identity.dial(at("db.test")), server_context("other.test", by="second", expired=True))


def test_a_servers_own_certificate_may_be_trusted(tmp_path: Path) -> None:
    """As with v1: what the file holds is trusted, be it an authority's or not."""
    own, _ = write_pair(tmp_path, "db.test")
    shake(Identities().get(trusting(own)).dial(at("db.test")), server_context("db.test"))


def test_our_certificate_is_shown(tmp_path: Path) -> None:
    own, key = write_pair(tmp_path, "us.test")
    spec = TLSSpec(
        ca_certificates=(FileSpec(write_authority(tmp_path)),), client=(FileSpec(own), FileSpec(key))
    )
    context = server_context("db.test")
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    server = shake(Identities().get(spec).dial(at("db.test")), context)
    shown = server.ssl_object.getpeercert()
    assert shown is not None and ("DNS", "us.test") in shown["subjectAltName"]


# -- sessions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def identity(tmp_path: Path) -> ClientTLS:
    made = Identities().get(trusting(write_authority(tmp_path)))
    made._clock = Clock()
    return made


def is_resumed(identity: ClientTLS, context: ssl.SSLContext, port: int = 443) -> bool:
    dial = identity.dial(at("db.test", port))
    server = shake(dial, context)
    dial.keep_session()
    assert dial.engine.ssl_object.session_reused == server.ssl_object.session_reused
    return bool(server.ssl_object.session_reused)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_offered_again(identity: ClientTLS, version: ssl.TLSVersion) -> None:
    context = server_context("db.test")
    context.maximum_version = version
    assert [is_resumed(identity, context) for _ in range(3)] == [False, True, True]
    assert not is_resumed(identity, context, port=444), "another address, another session"


def test_a_chain_of_resumptions_ends(identity: ClientTLS) -> None:
    """However often it was renewed: the certificate is looked at again an hour after it was last."""
    context = server_context("db.test")
    clock = identity._clock
    assert isinstance(clock, Clock)
    assert not is_resumed(identity, context)
    for clock.now in (1000.0, 2000.0, tls.SESSION_SECONDS - 1):
        assert is_resumed(identity, context)
    clock.now = tls.SESSION_SECONDS
    assert not is_resumed(identity, context)
    assert is_resumed(identity, context)


class Counted:
    """An SSLObject that counts how often its session is read."""

    reads = 0

    def __init__(self, beneath: ssl.SSLObject) -> None:
        self._beneath = beneath

    def __getattr__(self, name: str) -> Any:
        Counted.reads += name == "session"
        return getattr(self._beneath, name)


@pytest.mark.parametrize(
    ("is_leaking", "has_tickets", "reads"),
    [(True, True, 2), (False, True, 6), (True, False, 3), (False, False, 6)],
)
def test_sessions_are_read_seldom_where_that_leaks(
    identity: ClientTLS, monkeypatch: pytest.MonkeyPatch, is_leaking: bool, has_tickets: bool, reads: int
) -> None:
    """Half a minute between connections, all in one minute but the last; refused tickets are not read again at once."""
    monkeypatch.setattr(tls, "READING_LEAKS", is_leaking)
    monkeypatch.setattr(Counted, "reads", 0)
    context = server_context("db.test")
    context.num_tickets = 2 if has_tickets else 0
    clock = identity._clock
    assert isinstance(clock, Clock)
    resumed = []
    for clock.now in (0.0, 30.0, 59.0, tls.REREAD_SECONDS, 61.0, tls.SESSION_SECONDS):
        dial = identity.dial(at("db.test"))
        server = shake(dial, context)
        dial.engine.ssl_object = Counted(dial.engine.ssl_object)  # type: ignore[assignment]
        dial.keep_session()
        resumed.append(bool(server.ssl_object.session_reused))
    assert resumed == [False, *[has_tickets] * 4, False]
    assert Counted.reads == reads


@pytest.mark.parametrize(
    ("version", "is_leaking"),
    [
        *[((3, 11, 0), True), ((3, 11, 99), True), ((3, 12, 7), True), ((3, 12, 8), False)],
        *[((3, 13, 0), True), ((3, 13, 1), False), ((3, 14, 0), False)],
    ],
)
def test_where_reading_a_session_leaks(version: tuple[int, int, int], is_leaking: bool) -> None:
    assert tls.is_leaking(version) is is_leaking


def test_a_session_is_not_offered_after_a_failure(identity: ClientTLS) -> None:
    context = server_context("db.test")
    assert not is_resumed(identity, context)
    identity.dial(at("db.test")).explain(TLSFault("broken"))
    assert not is_resumed(identity, context)


def test_sessions_are_bounded(identity: ClientTLS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_MOST_SESSIONS", 2)
    context = server_context("db.test")
    for port in (1, 2, 3):
        is_resumed(identity, context, port)
    assert sorted(identity._sessions) == [("db.test", 2, ""), ("db.test", 3, "")]
    assert "sessions=2" in repr(identity)


def test_nothing_is_kept_before_the_handshake(identity: ClientTLS) -> None:
    identity.dial(at("db.test")).keep_session()
    assert not any(session for session, _ in identity._sessions.values())


def test_a_wrong_authority_hides_no_wrong_client_certificate(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    files = [
        FileSpec(str(tmp_path / name), Place("f", line, 1)) for line, name in enumerate(("empty", "a", "b"))
    ]
    swap = [FileSpec(path, Place("f", 4 + at, 1)) for at, path in enumerate(swapped(tmp_path))]
    for client, lines in ((files[1:], [0, 1, 2]), (swap, [0, 5])):
        with pytest.raises(ConfigError) as raised:
            Identities().get(TLSSpec(ca_certificates=(files[0],), client=tuple(client)))
        assert [one.place.line for one in raised.value.mistakes] == lines
