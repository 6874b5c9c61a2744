"""nginx: the measure, and the backend behind all proxies."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.proxies.rules import REQUEST, REQUEST_REMOVED, RESPONSE, RESPONSE_REMOVED, Value, written
from benchmarks.proxies.setup import Setup, program

SMALL_BODY = "Hello from the backend. " * 4
KIB, MIB = 1024, 1024 * 1024
FILES = {"4k": 4 * KIB, "64k": 64 * KIB, "10m": 10 * MIB}
"""Served by the backend, and by the proxies themselves in the rows of static files."""

_UPGRADE = """proxy_set_header Connection upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_read_timeout 300s;"""

WORDS = {
    Value.CLIENT: "$remote_addr",
    Value.URI: "$request_uri",
    Value.HOST: "$http_host",
    Value.AGENT: "$http_user_agent",
}


def in_foreground(folder: Path, name: str, http: str, workers: int = 1) -> list[str]:
    """The process tree is a master and its workers."""
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "\n".join(
        f"{kind}_temp_path {folder}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / f"{name}.conf"
    conf.write_text(f"""
{user}
worker_processes {workers};
pid {folder}/{name}.pid;
error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
    keepalive_timeout 300s;
    keepalive_requests 100000000;
    {paths}
    {http}
}}
""")
    return [program("nginx"), "-c", str(conf), "-p", str(folder), "-e", "stderr", "-g", "daemon off;"]


def write_files(folder: Path) -> None:
    """The files of FILES, of bytes that do not compress; readable by any user."""
    for name, size in FILES.items():
        (folder / name).write_bytes(os.urandom(KIB) * (size // KIB))


def _certificate(folder: Path) -> str:
    """The lines of a TLS server with a certificate made a moment ago."""
    made = ["-keyout", str(folder / "backend.key"), "-out", str(folder / "backend.crt")]
    kind = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=backend.test"]
    subprocess.run([program("openssl"), "req", *kind, *made], check=True, capture_output=True)
    return f"ssl_certificate {folder}/backend.crt; ssl_certificate_key {folder}/backend.key;"


def backend(setup: Setup) -> list[str]:
    """The upstream: nginx that answers from memory or from files in a tmpfs. Listens on `setup.backend_port`."""
    write_files(setup.folder)
    tls, certificate = ("ssl", _certificate(setup.folder)) if setup.is_tls else ("", "")
    extra = f"add_header {RESPONSE_REMOVED} backend;" if setup.has_rules else ""
    return in_foreground(
        setup.folder,
        "backend",
        f"""
    access_log off;
    sendfile on;
    tcp_nopush on;
    {certificate}
    server {{
        listen 127.0.0.1:{setup.backend_port} {tls} backlog=4096;
        root {setup.folder};
        {extra}
        location / {{ default_type text/plain; return 200 "{SMALL_BODY}"; }}
        location = /64k {{ }}
        location = /10m {{ }}
    }}""",
    )


def _rules() -> str:
    lines = [f'proxy_set_header {name} "{value}";' for name, value in written(REQUEST, WORDS).items()]
    lines += [f'add_header {name} "{value}" always;' for name, value in written(RESPONSE, WORDS).items()]
    removals = [f'proxy_set_header {REQUEST_REMOVED} "";', f"proxy_hide_header {RESPONSE_REMOVED};"]
    return "\n            ".join([*lines, *removals])


def _location(setup: Setup) -> str:
    """What `/` does."""
    if setup.root:
        return f"root {setup.root}; sendfile on; tcp_nopush on;"
    scheme, verify = ("https", "proxy_ssl_verify off;") if setup.is_tls else ("http", "")
    return f"""
            proxy_pass {scheme}://backend;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            {_UPGRADE if setup.is_upgraded else 'proxy_set_header Connection "";'}
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            {verify}
            {_rules() if setup.has_rules else ""}"""


def prepare(setup: Setup) -> list[str]:
    """Its access log buffered, its fastest way; request bodies stream, as in the others."""
    log = f"{setup.access_log} combined buffer=64k flush=1s" if setup.access_log else "off"
    return in_foreground(
        setup.folder,
        "nginx",
        f"""
    access_log {log};
    upstream backend {{
        server 127.0.0.1:{setup.backend_port};
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{setup.port} backlog=4096;
        client_max_body_size 0;
        {f"add_header X-Generation {setup.generation};" if setup.generation else ""}
        location / {{ {_location(setup)}
        }}
    }}""",
        setup.workers,
    )


def version() -> list[str]:
    """What prints its version."""
    return [program("nginx"), "-v"]
