"""The rows of the table: what is measured, by name."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.load import FIELDS, Load
from benchmarks.proxies import MIB

BROWSER = tuple(FIELDS.items())


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. A row without a load is the crowd of idle connections."""

    name: str
    title: str
    load: Load | None = None
    is_logged: bool = False
    is_upload: bool = False


ROWS = (
    Row("small", "small GET, keep-alive", Load("/", 32, fields=BROWSER)),
    Row("different", "small GET, every head different", Load("/", 32, fields=BROWSER, is_different=True)),
    Row("log", "small GET, access log on", Load("/", 32, fields=BROWSER), is_logged=True),
    Row("bare", "small GET with Host only", Load("/", 32)),
    Row("new", "new connection per request", Load("/", 32, fields=(*BROWSER, ("Connection", "close")))),
    Row("64k", "GET 64 KiB", Load("/64k", 16, fields=BROWSER)),
    Row("10m", "GET 10 MiB", Load("/10m", 4, fields=BROWSER)),
    Row("post", "POST 1 MiB", Load("/", 8, "POST", MIB, BROWSER), is_upload=True),
    Row("idle", "1,000 idle connections"),
)
IDLE_CONNECTIONS = 1000
