"""The rows of the table: what is measured, by name."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.load import FIELDS, Chat, Load
from benchmarks.proxies.nginx import MIB
from benchmarks.proxies.setup import LOG, RULES, STATIC, TLS

BROWSER = tuple(FIELDS.items())
SMALL = Load("/", 32, fields=BROWSER)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. A row without a load is the crowd of idle connections.

    asks   what the proxies do beside plain forwarding: LOG, RULES, STATIC, TLS, or "" for nothing
    """

    name: str
    title: str
    load: Load | Chat | None = None
    asks: str = ""


ROWS = (
    Row("small", "small GET, keep-alive", SMALL),
    Row("different", "small GET, every head different", Load("/", 32, fields=BROWSER, is_different=True)),
    Row("log", "small GET, access log on", SMALL, LOG),
    Row("rules", "small GET, 12 header rules", SMALL, RULES),
    Row("bare", "small GET with Host only", Load("/", 32)),
    Row("new", "new connection per request", Load("/", 32, fields=(*BROWSER, ("Connection", "close")))),
    Row("tls", "small GET, TLS to the backend", SMALL, TLS),
    Row("64k", "GET 64 KiB", Load("/64k", 16, fields=BROWSER)),
    Row("10m", "GET 10 MiB", Load("/10m", 4, fields=BROWSER)),
    Row("post", "POST 1 MiB", Load("/", 8, "POST", MIB, BROWSER)),
    Row("ws", "WebSocket message and its echo", Chat(32, 128)),
    Row("static-4k", "file of 4 KiB", Load("/4k", 32, fields=BROWSER), STATIC),
    Row("static-64k", "file of 64 KiB", Load("/64k", 16, fields=BROWSER), STATIC),
    Row("idle", "1,000 idle connections"),
)
IDLE_CONNECTIONS = 1000
