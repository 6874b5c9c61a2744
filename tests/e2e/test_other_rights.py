"""`--user`: workers without rights serve on ports and with keys that only root may have."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e import readable_python
from e2e.tls_backends import TLSBackend
from kit import Posthouse, ScriptedBackend, get
from kit.certificates import authority, server_context, write_authority, write_pair

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it")

SITE = """
http://127.0.0.1:LOW {
    bind 127.0.0.1
    basicauth / me htpasswd=PASSWORDS
    proxy /mutual MUTUAL {
        ca_certificates CA
        tls_client CERTIFICATE KEY
    }
    proxy / BACKEND
}
"""
ALLOWED = [("Authorization", "Basic bWU6dGVzdA==")]


def status_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def free_low_port() -> str:
    """One that only root, or who has its capability, may bind."""
    while True:
        port = random.randrange(600, 1000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return str(port)


def wait_until(is_so: Callable[[], object], said: Callable[[], str]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that everybody may enter, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="posthouse-open-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def mutual() -> Iterator[TLSBackend]:
    """A backend that only talks to those who show a certificate of ours."""
    context = server_context("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    with TLSBackend(context) as made:
        yield made


def private(path: Path) -> str:
    path.chmod(0o600)
    return str(path)


def test_workers_have_other_rights_and_get_what_only_root_may_have(
    open_folder: Path, tmp_path: Path, backend: ScriptedBackend, mutual: TLSBackend
) -> None:
    nobody = pwd.getpwnam("nobody")
    passwords = tmp_path / "htpasswd"
    passwords.write_text("me:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")  # "test"
    certificate, key = (private(Path(path)) for path in write_pair(tmp_path, "client.test"))
    log = tmp_path / "process.log"
    python, env = readable_python.make(open_folder)
    low = free_low_port()
    with Posthouse(
        SITE,
        python=python,
        env=env,
        workers=2,
        arguments=("--user", "nobody", "--log", str(log)),
        LOW=low,
        PASSWORDS=private(passwords),
        MUTUAL=mutual.address,
        CA=write_authority(tmp_path),
        CERTIFICATE=certificate,
        KEY=key,
        BACKEND=backend.address,
    ) as running:
        assert running.port == int(low) < 1024
        assert status_of(running.pid)["Uid"] == ["0"] * 4
        for pid in running.workers():
            found = status_of(pid)
            assert found["Uid"] == [str(nobody.pw_uid)] * 4
            assert found["Gid"] == [str(nobody.pw_gid)] * 4
            assert "0" not in found["Groups"]
            assert int(found["CapEff"][0], 16) == 0
        assert get(running.port, host="127.0.0.1").status == 401
        assert get(running.port, "/", ALLOWED, host="127.0.0.1").status == 200
        assert get(running.port, "/mutual", ALLOWED, host="127.0.0.1").status == 200
        assert mutual.handshakes[-1].certificate, "ours, with the key that they may not read"

        log.rename(tmp_path / "process.log.1")
        second = free_low_port()
        running.config.write_text(running.config.read_text().replace(f":{low}", f":{second}"))
        running.signal(signal.SIGUSR1)
        wait_until(lambda: log.exists() and "reloaded" in log.read_text(), log.read_text)
        assert get(int(second), "/mutual", ALLOWED, host="127.0.0.1").status == 200

        os.kill(running.workers()[0], signal.SIGKILL)
        wait_until(lambda: "worker replaced" in log.read_text(), log.read_text)
        assert {status_of(pid)["Uid"][0] for pid in running.workers()} == {str(nobody.pw_uid)}
        for _ in range(8):  # whichever of the two answers
            assert get(int(second), "/mutual", ALLOWED, host="127.0.0.1").status == 200

        running.signal(signal.SIGKILL)
        wait_until(lambda: log.read_text().count("supervisor gone, draining") == 2, log.read_text)
