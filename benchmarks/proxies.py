"""The proxies under test and the backend behind them: configurations as alike as they can be made.

Every proxy: one worker process, one thread, keep-alive to up to 64 upstream connections, access log off
unless a row asks for it, and the same forwarding fields set on each request, as they are in real use.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SMALL_BODY = "Hello from the backend. " * 4
KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Setup:
    """What a proxy is to do: listen here, forward there, and write its access log (None = off)."""

    port: int
    backend_port: int
    folder: Path
    access_log: Path | None


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's name and how to start and ask it. prepare writes its files and gives the command line."""

    name: str
    prepare: Callable[[Setup], list[str]]
    version: tuple[str, ...]


def program(name: str) -> str:
    """Where the program is; Debian keeps nginx and haproxy outside an ordinary user's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"{name} is missing; this installs it:  scripts/peers {name}")
    return found


def _nginx_shell(folder: Path, name: str, http: str) -> list[str]:
    """nginx in the foreground with one worker; its own process tree is master and worker."""
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "\n".join(
        f"{kind}_temp_path {folder}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / f"{name}.conf"
    conf.write_text(f"""
{user}
worker_processes 1;
pid {folder}/{name}.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    keepalive_timeout 300s;
    keepalive_requests 100000000;
    {paths}
    {http}
}}
""")
    return [program("nginx"), "-c", str(conf), "-p", str(folder), "-e", "stderr", "-g", "daemon off;"]


def backend(port: int, folder: Path) -> list[str]:
    """The upstream: nginx that answers from memory or from files in a tmpfs."""
    for name, size in (("64k", 64 * KIB), ("10m", 10 * MIB)):
        (folder / name).write_bytes(os.urandom(KIB) * (size // KIB))
    return _nginx_shell(
        folder,
        "backend",
        f"""
    access_log off;
    sendfile on;
    tcp_nopush on;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder};
        location / {{ default_type text/plain; return 200 "{SMALL_BODY}"; }}
        location = /64k {{ }}
        location = /10m {{ }}
    }}""",
    )


def nginx(setup: Setup) -> list[str]:
    """nginx; its access log buffered, its fastest way. Request bodies stream, as in the other two."""
    log = f"{setup.access_log} combined buffer=64k flush=1s" if setup.access_log else "off"
    return _nginx_shell(
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
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}""",
    )


def haproxy(setup: Setup) -> list[str]:
    """HAProxy, one thread. It logs to its standard output, here a file: it has no file log of its own."""
    log = "log global\n    option httplog" if setup.access_log else "no log"
    conf = setup.folder / "haproxy.cfg"
    conf.write_text(f"""
global
    nbthread 1
    maxconn 8192
    log stdout format raw local0
defaults
    mode http
    {log}
    http-reuse always
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
frontend front
    bind 127.0.0.1:{setup.port} backlog 4096
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend back
backend back
    server only 127.0.0.1:{setup.backend_port} pool-max-conn 64
""")
    return [program("haproxy"), "-db", "-f", str(conf)]


def posthouse(setup: Setup) -> list[str]:
    """Posthouse from the environment that runs the benchmark."""
    log = f'log / {setup.access_log} "{{combined}}"' if setup.access_log else ""
    conf = setup.folder / "Caddyfile"
    conf.write_text(f"""http://127.0.0.1:{setup.port} {{
    {log}
    proxy / 127.0.0.1:{setup.backend_port} {{
        keepalive 64
    }}
}}
""")
    return [sys.executable, "-m", "posthouse", "run", "--config", str(conf)]


PROXIES = {
    "posthouse": Proxy("posthouse", posthouse, (sys.executable, "-m", "posthouse", "version")),
    "nginx": Proxy("nginx", nginx, ("nginx", "-v")),
    "haproxy": Proxy("haproxy", haproxy, ("haproxy", "-v")),
}
