"""The proxies of the matrix, each as a careful administrator would set it up for three backends that may fail.

The same for all, as far as each can: a connection within `connect`, an answer within `response`, then another backend
for what is safe to send twice; a backend that failed is left alone for `rest`; each is asked for /health every
`check`, which must be answered in the same time, and twice wrong is down. No request is tried for longer than `whole`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.backend import HEALTH
from benchmarks.proxies import caddy, haproxy, nginx, posthouse
from benchmarks.proxies.setup import program


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings that the text above names, in milliseconds."""

    connect: int = 1000
    response: int = 2000
    rest: int = 2000
    check: int = 1000
    whole: int = 5000


@dataclass(frozen=True, slots=True)
class Front:
    """What a proxy is to do: listen on the port, forward to the addresses."""

    port: int
    backends: Sequence[str]
    folder: Path
    pace: Pace = Pace()


@dataclass(frozen=True, slots=True)
class Proxy:
    """prepare writes files and gives the command line that runs it in the foreground; version prints its version."""

    name: str
    prepare: Callable[[Front], list[str]]
    version: Callable[[], list[str]]


def posthouse_caddyfile(front: Front) -> str:
    """The configuration of Posthouse."""
    pace = front.pace
    return f"""http://:{front.port} {{
    bind 127.0.0.1
    proxy / {" ".join(front.backends)} {{
        policy round_robin
        timeout {pace.connect}ms
        response_timeout {pace.response}ms
        idle_timeout {pace.response}ms
        fail_timeout {pace.rest}ms
        unhealthy_status 5xx
        try_duration {pace.whole}ms
        try_interval 100ms
        health_check {HEALTH}
        health_check_interval {pace.check}ms
        health_check_timeout {pace.check}ms
        health_check_fails 2
    }}
}}
"""


def _posthouse(front: Front) -> list[str]:
    conf = front.folder / "Caddyfile"
    conf.write_text(posthouse_caddyfile(front))
    return [sys.executable, "-m", "posthouse", "run", "--workers", "1", "--config", str(conf)]


def _nginx(front: Front) -> list[str]:
    """Its open edition asks nobody how they are: only requests that failed speak against a backend."""
    pace = front.pace
    servers = "\n".join(
        f"server {address} max_fails=1 fail_timeout={pace.rest // 1000 or 1}s;" for address in front.backends
    )
    return nginx.in_foreground(
        front.folder,
        "nginx",
        f"""
    access_log off;
    upstream backends {{
        {servers}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{front.port} backlog=4096;
        location / {{
            proxy_pass http://backends;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_connect_timeout {pace.connect}ms;
            proxy_read_timeout {pace.response}ms;
            proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504;
            proxy_next_upstream_timeout {pace.whole}ms;
        }}
    }}""",
    )


def _haproxy(front: Front) -> list[str]:
    """`retry-on` alone would also repeat POSTs; the rule with disable-l7-retry is what its manual advises."""
    pace = front.pace
    servers = "\n    ".join(f"server s{number} {each}" for number, each in enumerate(front.backends))
    conf = front.folder / "haproxy.cfg"
    conf.write_text(f"""
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect {pace.connect}ms
    timeout server {pace.response}ms
    timeout client 30s
    timeout http-keep-alive 300s
    timeout check {pace.check}ms
    retries 3
    option redispatch 1
    retry-on all-retryable-errors
frontend front
    bind 127.0.0.1:{front.port} backlog 4096
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS PUT DELETE TRACE }}
    default_backend back
backend back
    balance roundrobin
    option httpchk
    http-check send meth GET uri {HEALTH} ver HTTP/1.1 hdr Host faults.test
    default-server check inter {pace.check}ms fall 2 rise 1 observe layer7 error-limit 3 on-error mark-down
    {servers}
""")
    return [program("haproxy"), "-db", "-f", str(conf)]


def _caddy(front: Front) -> list[str]:
    pace = front.pace
    return caddy.in_foreground(
        front.folder,
        f"""http://:{front.port} {{
    bind 127.0.0.1
    reverse_proxy {" ".join(front.backends)} {{
        lb_policy round_robin
        lb_try_duration {pace.whole}ms
        lb_try_interval 100ms
        fail_duration {pace.rest}ms
        max_fails 1
        unhealthy_status 500
        health_uri {HEALTH}
        health_interval {pace.check}ms
        health_timeout {pace.check}ms
        health_fails 2
        transport http {{
            dial_timeout {pace.connect}ms
            response_header_timeout {pace.response}ms
            read_timeout {pace.response}ms
            keepalive_idle_conns_per_host 64
            compression off
        }}
    }}
}}
""",
    )


FRONTS = {
    proxy.name: proxy
    for proxy in (
        Proxy("posthouse", _posthouse, posthouse.version),
        Proxy("nginx", _nginx, nginx.version),
        Proxy("haproxy", _haproxy, haproxy.version),
        Proxy("caddy", _caddy, caddy.version),
    )
}


def can_hide_names() -> bool:
    """Whether `with_hosts` works here: mounting needs root."""
    return os.geteuid() == 0


def with_hosts(argv: Sequence[str], hosts: Path, folder: Path) -> list[str]:
    """The command with /etc/hosts and /etc/resolv.conf of its own; what is not in that file resolves nowhere."""
    nowhere = folder / "resolv.conf"
    nowhere.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    mount = f'mount --bind {hosts} /etc/hosts && mount --bind {nowhere} /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, "sh", *argv]
