"""Files that are replaced under a Posthouse that runs: it imports nothing after its ready line."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from e2e.installed import CADDYFILE
from kit import Posthouse, ScriptedBackend, get
from kit.dns_server import DnsServer
from posthouse.admin.client import ask, fetch

pytestmark = pytest.mark.timeout(300)  # starts of several processes, one after the other
LISTENER = """
import os, sys
def hear(event, arguments, told="FOLDER/told", flag="FOLDER/flag"):
    if event == "import" and os.path.exists(flag):
        with open(told, "a") as file:
            file.write(f"{os.getpid()} {arguments[0]}\\n")
sys.addaudithook(hear)
"""
EVERYTHING = """
http://127.0.0.1:PORT, http://*.test:PORT {
    bind 127.0.0.1
    root .
    browse /files
    ext .html
    index index.html
    mime .x text/x
    errors errors.log
    log / access.log {combined}
    log /syslog syslog
    log /json rotated.log json {
        rotate_size 1
    }
    gzip
    request_id
    trusted_proxies 10.0.0.0/8
    header / X-More more
    limits 1MB
    timeouts 1m
    internal /hidden
    status 204 /ping
    redir /old /new
    basicauth /secret me word
    rewrite /app {
        r ^/(app)$
        to /{1}
    }
    proxy_protocol 127.0.0.2
    metrics
    proxy /tls https://127.0.0.1:1 {
        insecure_skip_verify
    }
    proxy /list file:LIST {
        policy ewma
    }
    proxy /told BACKEND {
        proxy_protocol v2
        policy header X-A
    }
    proxy /many BACKEND localhost:1 {
        policy uri_hash
        hash_balance 125%
        name many
    }
    proxy /api BACKEND localhost:1 {
        policy sticky
        queue 5 1s
        breaker errors=50%
        health_check /health
        health_check_interval 1s
        try_duration 1s
        fail_timeout 1s
        max_conns 10
        header_upstream +X-A {request_id}
        websocket
    }
}
"""


ASKS_THE_DNS = """
http://srv.test:PORT2 {
    bind 127.0.0.1
    proxy / srv://_http._tcp.web.test
    proxy /a dns://app.test:8080
}
"""


@pytest.mark.parametrize("first", [CADDYFILE, CADDYFILE + ASKS_THE_DNS], ids=["plain", "dns"])
def test_nothing_is_imported_after_the_ready_line(
    tmp_path: Path, start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend, first: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LISTENER.replace("FOLDER", str(tmp_path)))
    (tmp_path / "list").write_text(backend.address + "\n")
    with DnsServer() as dns:
        dns.put("_http._tcp.web.test", "SRV", f"1 1 {backend.port} localhost.")
        running = start_posthouse(
            first,
            BACKEND=backend.address,
            LIST=str(tmp_path / "list"),
            workers=2,
            env={"PYTHONPATH": str(tmp_path), "POSTHOUSE_RESOLVER": dns.address},
            arguments=("--pidfile", "pid", "--watch"),
        )
        old = [running.pid, *running.workers()]
        (tmp_path / "flag").touch()
        asks_the_dns = first.removeprefix(CADDYFILE)
        # What is asked from now on is answered in another way than what was asked at the start.
        dns.drop("_http._tcp.web.test")
        dns.put("other.test", "SRV", f"1 1 {backend.port} localhost.")
        dns.put("app.test", "A", "127.0.0.1")
        running.reload(EVERYTHING + asks_the_dns.replace("_http._tcp.web", "other"))
        running.wait_stderr("reloaded .*generation=2 ", 20)
        use(running)
        running.reload(EVERYTHING + "mistake {")
        running.wait_stderr("reload failed", 20)
        running.signal(signal.SIGUSR2)
        running.wait_stderr(r"upgrade failed", 20)
        running.signal(signal.SIGTERM)
        assert running.wait(20) == 0
    told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    # What is not installed was only looked for.
    late = [name for pid, name in told if int(pid) in old and is_installed(name)]
    assert late == []


def use(running: Posthouse) -> None:
    """All that a client can ask for, and all that whoever runs it can, on each of two workers."""
    targets = ("/", "/api", "/tls", "/files/", "/ping", "/old", "/secret", "/app", "/syslog", "/json")
    for target in (*targets, "/list", "/told", "/many", "/metrics"):
        for _ in range(4):
            get(running.port, target, [("Accept-Encoding", "gzip")], host="127.0.0.1")
    get(running.port, "/metrics", [("Accept", "application/openmetrics-text")], host="127.0.0.1")
    for target in ("/", "/a") if "PORT2" in running.names else ():
        get(running.named_port("PORT2"), target, host="srv.test")
    for _ in range(4):
        with socket.create_connection(
            ("127.0.0.1", running.port), 10, source_address=("127.0.0.2", 0)
        ) as peer:
            peer.sendall(b"PROXY TCP4 10.1.1.1 10.1.1.2 1234 80\r\nGET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert peer.recv(100).startswith(b"HTTP/1.1 ")
    admin = running.admin_socket()
    fetch(admin, "/status")
    for order in ("drain", "undrain", "nonsense"):
        ask(admin, "POST", f"/backend?order={order}&pool=many&backend=localhost:1")
    for page in (b"/metrics", b"/health", b"/ready", b"/nowhere"):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(10)
            asking.connect(admin)
            asking.sendall(b"GET " + page + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert asking.recv(100).startswith(b"HTTP/1.1 ")
    assert ask(admin, "POST", "/reload")[0] == 200


def is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
