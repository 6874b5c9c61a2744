"""TLS towards backends: identities made of specs, sessions kept for the next dial, and words for what went wrong."""

from __future__ import annotations

import hashlib
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, NoReturn
from weakref import WeakValueDictionary

from posthouse.config.specs import EndpointSpec, FileSpec, TLSSpec
from posthouse.errors import ConfigError, Mistake
from posthouse.net.tls_engine import TLSEngine, TLSFault, fault_of

SESSION_SECONDS: Final = 3600.0
"""How long sessions are offered after the handshake in which a certificate was last verified. Each resumption brings
the next ticket, so without an end a certificate that has expired or lost its trust would do for ever."""
_MOST_SESSIONS: Final = 256
"""Per identity, one for each address. The oldest goes."""
REREAD_SECONDS: Final = 60.0
"""Where reading a session leaks, one is read this often per address at most."""
_NAMES_SHOWN: Final = 4
_NAME_MISMATCH: Final = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH."""

_Session = tuple[ssl.SSLSession | None, float]
"""A session, or that there was none; until when it is offered."""


def is_leaking(version: tuple[int, int, int]) -> bool:
    """Whether each look at `SSLObject.session` loses 6.6 KB in this version of Python (CPython gh-116810)."""
    return version < (3, 12, 8) or (version[:2] == (3, 13) and version < (3, 13, 1))


READING_LEAKS: Final = is_leaking(sys.version_info[:3])


class ClientTLS:
    """How the backends of a pool are spoken to: one TLS identity. Equal settings with equal files are the same one."""

    __slots__ = ("__weakref__", "_clock", "_context", "_sessions", "digest")

    def __init__(
        self, context: ssl.SSLContext, digest: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._context = context
        self._clock = clock
        self._sessions: dict[tuple[str, int, str], _Session] = {}
        self.digest = digest

    def __repr__(self) -> str:
        return f"<ClientTLS {self.digest.hex()[:8]} sessions={len(self._sessions)}>"

    def dial(self, endpoint: EndpointSpec) -> Dial:
        """TLS for a new connection to an endpoint. Raises ValueError for a host that no certificate can be for."""
        known = self._sessions.get(_session_key(endpoint))
        if known is not None and known[1] <= self._clock():
            known = None
        return Dial(self, endpoint, known)


class Dial:
    """The TLS of one connection to a backend.

    name    what the certificate must be for: the host of the TO, whatever Host field is sent
    """

    __slots__ = ("_endpoint", "_identity", "_offered", "engine", "name")

    def __init__(self, identity: ClientTLS, endpoint: EndpointSpec, offered: _Session | None) -> None:
        self._identity = identity
        self._endpoint = endpoint
        self._offered = offered
        self.name = server_name(endpoint)
        session = offered[0] if offered is not None else None
        self.engine = TLSEngine(identity._context, name=self.name, session=session)

    def keep_session(self) -> None:
        """Offer this connection's session to the next dial. To be called when the first data has come: the tickets of
        TLS 1.3 follow the handshake."""
        ssl_object, offered, now = self.engine.ssl_object, self._offered, self._identity._clock()
        is_resumed = bool(ssl_object.session_reused) and offered is not None
        if READING_LEAKS and offered is not None:
            # A ticket may be used again (RFC 8446 C.4 advises against it for the privacy of people who move about).
            # What was read is offered until the backend refuses it, and then the next one is read, but not at once.
            if is_resumed or now < offered[1] - SESSION_SECONDS + REREAD_SECONDS:
                return
        session = ssl_object.session
        if session is not None and not (session.has_ticket or session.id):
            session = None
        if session is None and not READING_LEAKS:
            return
        until = offered[1] if is_resumed and offered is not None else now + SESSION_SECONDS
        sessions = self._identity._sessions
        key = _session_key(self._endpoint)
        sessions.pop(key, None)
        if len(sessions) >= _MOST_SESSIONS:
            del sessions[next(iter(sessions))]
        sessions[key] = (session, until)

    def explain(self, error: TLSFault | ssl.SSLError) -> str:
        """Why the handshake failed, for the log. The session is not offered again: it may have been why."""
        self._identity._sessions.pop(_session_key(self._endpoint), None)
        if isinstance(error, TLSFault):
            return error.reason
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"certificate verify failed for {self.name}: {self._verdict(error)}"
        return f"TLS handshake failed: {fault_of(error).reason}"

    def _verdict(self, error: ssl.SSLCertVerificationError) -> str:
        if error.verify_code not in _NAME_MISMATCH:
            return error.verify_message
        what = "hostname mismatch" if error.verify_code == _NAME_MISMATCH[0] else "IP address mismatch"
        return f"{what}, certificate is for {_names(self.engine.ssl_object)}"


def _session_key(endpoint: EndpointSpec) -> tuple[str, int, str]:
    """Who a session was made with: one is offered only where the same name was verified."""
    return endpoint.host, endpoint.port, endpoint.server_name


def server_name(endpoint: EndpointSpec) -> str:
    """The name that the certificate of an endpoint is verified for; an IP address is never sent as SNI."""
    return endpoint.server_name or endpoint.host.partition("%")[0] or "localhost"


def _names(ssl_object: ssl.SSLObject) -> str:
    """The names in a certificate that was refused, escaped: they are the peer's words.

    The ssl module shows the certificate of a failed handshake under this name only (public from 3.13 on).
    """
    try:
        chain = ssl_object._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        info = chain[0].get_info()
    except (AttributeError, TypeError, IndexError, ssl.SSLError, ValueError):
        return "another name"
    names = [str(value) for kind, value in info.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    if not names:
        subject = (pair for group in info.get("subject", ()) for pair in group)
        names = [value for kind, value in subject if kind == "commonName"]
    if not names:
        return "no name at all"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(ascii(name)[1:-1][:253] for name in names[:_NAMES_SHOWN]) + more


OpenFile = Callable[[str], BinaryIO]
"""Opens a file to be read. Raises OSError, or ValueError for a path that can be none."""


def _open_file(path: str) -> BinaryIO:
    return open(path, "rb")


class Identities:
    """The TLS identities in use, so that equal settings share trust, sessions and warm connections over reloads."""

    __slots__ = ("_known", "_open")

    def __init__(self, open_file: OpenFile = _open_file) -> None:
        """open_file: opens a file with a key or a certificate."""
        self._open = open_file
        self._known: WeakValueDictionary[bytes, ClientTLS] = WeakValueDictionary()

    def get(self, spec: TLSSpec) -> ClientTLS:
        """The identity of a spec; its files are read now. Raises ConfigError that points to all that are wrong."""
        mistakes: list[Mistake] = []
        files: dict[FileSpec, bytes] = {}
        named = (*spec.ca_certificates, *spec.client)
        for file in named:
            with _noting(mistakes):
                files[file] = _read(file, self._open)
        digest = _digest(spec, [files[file] for file in named if file in files])
        known = None if mistakes else self._known.get(digest)
        if known is None:
            context = _context(spec, files, mistakes)
            if mistakes:
                raise ConfigError(sorted(mistakes, key=lambda one: one.place))
            known = self._known[digest] = ClientTLS(context, digest)
        return known


@contextmanager
def _noting(mistakes: list[Mistake]) -> Iterator[None]:
    """Mistakes that are raised within are noted, so that the other files are looked at too."""
    try:
        yield
    except ConfigError as error:
        mistakes.extend(error.mistakes)


def _digest(spec: TLSSpec, contents: list[bytes]) -> bytes:
    """Of what the files hold, wherever they lie; a changed file is another identity."""
    whole = hashlib.sha256(
        b"%d %d %d" % (spec.insecure_skip_verify, len(spec.ca_certificates), len(spec.client))
    )
    for content in contents:
        whole.update(hashlib.sha256(content).digest())
    return whole.digest()


def _context(spec: TLSSpec, files: dict[FileSpec, bytes], mistakes: list[Mistake]) -> ssl.SSLContext:
    """What is wrong with the files is added to the mistakes; `files` are those that could be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # HTTP/1.1 is all that we speak to backends; one that would choose HTTP/2 must know.
    context.set_alpn_protocols(["http/1.1"])
    if spec.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif spec.ca_certificates:
        # As with v1, whatever the files hold is trusted as it is, also a certificate that is no authority's.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for file in spec.ca_certificates:
            if file in files:
                with _noting(mistakes):
                    _trust(context, file, files[file])
    else:
        context.load_default_certs()
    if spec.client and all(file in files for file in spec.client):
        with _noting(mistakes):
            certificate, key = spec.client
            _load_client(context, (certificate, files[certificate]), (key, files[key]))
    return context


def _read(file: FileSpec, open_file: OpenFile) -> bytes:
    try:
        with open_file(file.path) as opened:
            return opened.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        _reject(file, f"cannot be read: {reason}")


def _trust(context: ssl.SSLContext, file: FileSpec, content: bytes) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in content and b"-----BEGIN X509 CERTIFICATE-----" not in content:
        _reject(file, "holds no certificate in PEM form")
    try:
        context.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except ssl.SSLError as error:
        _reject(file, f"holds a certificate that cannot be read: {fault_of(error).reason}")


def _load_client(
    context: ssl.SSLContext, with_certificate: tuple[FileSpec, bytes], with_key: tuple[FileSpec, bytes]
) -> None:
    certificate, key = with_certificate[0], with_key[0]
    try:
        with _in_memory(*with_certificate) as certificate_path, _in_memory(*with_key) as key_path:
            context.load_cert_chain(certificate_path, key_path, password=_no_password)
    except _Encrypted:
        _reject(key, "is encrypted: there is nobody to ask for its password")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            _reject(key, f"is not the key of the certificate in `{certificate.path}`")
        _reject(*_culprit(with_certificate, with_key))
    except OSError as error:
        _reject(key, f"cannot be read: {error.strerror}")


@contextmanager
def _in_memory(file: FileSpec, content: bytes) -> Iterator[str]:
    """A path at which the ssl module finds what was read: it takes nothing else, and the file may be one that only
    somebody else can read."""
    if not hasattr(os, "memfd_create"):
        yield file.path
        return
    descriptor = os.memfd_create("posthouse-key", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as writing:
            writing.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _culprit(
    with_certificate: tuple[FileSpec, bytes], with_key: tuple[FileSpec, bytes]
) -> tuple[FileSpec, str]:
    """Which of the two files could not be parsed: the ssl module does not say."""
    (certificate, chain), (key, secret) = with_certificate, with_key
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        return certificate, "holds no certificate in PEM form"
    if b"PRIVATE KEY-----" not in secret:
        return key, "holds no private key in PEM form"
    return certificate, f"and `{key.path}` hold no certificate and key that can be used"


class _Encrypted(Exception):
    """A key's password was asked for."""


def _no_password() -> NoReturn:
    raise _Encrypted


def _reject(file: FileSpec, what: str) -> NoReturn:
    raise ConfigError(Mistake(file.place, f"`{file.path}` {what}", max(len(file.path), 1)))
