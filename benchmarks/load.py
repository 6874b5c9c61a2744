"""Load: one run of wrk or chat.py against one address, and a crowd of idle connections."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import module
from benchmarks.proxies.setup import program

FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Referer": "http://www.example.org/start",
    "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Cache-Control": "no-cache",
}
"""With Host, the ten fields that a browser's request has at least."""

# wrk's own report rounds; this line does not.
DONE = """
function done(summary, latency, requests)
  io.write(string.format(
    '\\nRESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"failed":%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout
      + summary.errors.connect))
end
"""

CONSTANT = "wrk.method = '{method}'\nwrk.body = {body}\n{fields}\n"

# Everything that a cache of heads could hang on to changes: target, id, cookies.
DIFFERENT = """
{fields}
local n = 0
function request()
  n = n + 1
  wrk.headers['X-Request-Id'] = string.format('%08x-5a5a-4a4a-8a8a-%012x', n * 2654435761 % 4294967296, n)
  wrk.headers['Cookie'] = string.format('session=%032x; seen=%d; theme=dark', n * 40503, n % 977)
  return wrk.format('GET', string.format('/item/%d/page?q=%d', n, n * 31 % 100003))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for, by how many connections at once."""

    path: str
    connections: int
    method: str = "GET"
    body_size: int = 0
    fields: tuple[tuple[str, str], ...] = ()
    is_different: bool = False

    def script(self) -> str:
        """The Lua script that makes wrk ask for it."""
        fields = "\n".join(f"wrk.headers['{name}'] = '{value}'" for name, value in self.fields)
        if self.is_different:
            return DIFFERENT.format(fields=fields) + DONE
        body = f"string.rep('p', {self.body_size})" if self.body_size else "nil"
        return CONSTANT.format(method=self.method, body=body, fields=fields) + DONE


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages of so many bytes over WebSockets, each answered by its echo before the next one leaves."""

    connections: int
    size: int
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Answered:
    """What one run counted. requests: for a Chat, messages with their echo."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    failed: int


def command(load: Load | Chat, port: int, seconds: float, folder: Path) -> list[str]:
    """The program that makes the load for so many whole seconds, at least one."""
    whole = max(1, round(seconds))
    if isinstance(load, Chat):
        return module("chat", port, load.connections, whole, load.size)
    script = folder / "load.lua"
    script.write_text(load.script())
    options = ["-t1", f"-c{load.connections}", f"-d{whole}s", "--timeout", "20s", "-s", str(script)]
    return [program("wrk"), *options, f"http://127.0.0.1:{port}{load.path}"]


def read_result(output: str) -> Answered | None:
    """What the program printed after RESULT; None if it did not."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return Answered(**json.loads(line.removeprefix("RESULT ")))
    return None


def run(load: Load | Chat, port: int, seconds: float, folder: Path, core: int | None) -> Answered:
    """Keep the connections busy for so long; every answer that is not a success counts as failed."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    done = subprocess.run(
        [*pinned, *command(load, port, seconds, folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 60,
    )
    answered = read_result(done.stdout)
    if answered is None:
        raise RuntimeError(f"the load gave no result:\n{done.stdout}{done.stderr}")
    return answered


class IdleCrowd:
    """Connections that have had one answer each and then say nothing."""

    def __init__(self, port: int, count: int) -> None:
        self._sockets: list[socket.socket] = []
        for _ in range(count):
            opened = socket.create_connection(("127.0.0.1", port), 10.0)
            self._sockets.append(opened)
            opened.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            read_answer(opened)

    def alive(self) -> int:
        """How many the proxy has kept."""
        kept = 0
        for opened in self._sockets:
            opened.setblocking(False)
            try:
                kept += opened.recv(1, socket.MSG_PEEK) != b""
            except BlockingIOError:
                kept += 1
            except OSError:
                continue
        return kept

    def close(self) -> None:
        """Close them all."""
        for opened in self._sockets:
            opened.close()


def read_answer(opened: socket.socket) -> None:
    """Read a response with Content-Length to its end; RuntimeError if it is not a 200."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(opened)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the proxy answered {head[:80]!r}")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    missing = length - len(body)
    while missing > 0:
        missing -= len(_receive(opened))


def _receive(opened: socket.socket) -> bytes:
    got = opened.recv(65536)
    if not got:
        raise RuntimeError("the proxy closed the connection before its answer was complete")
    return got


def raise_descriptor_limit() -> None:
    """Thousands of idle connections need more than the usual soft limit of 1,024. Both sides of each proxy have it."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def cores() -> tuple[int | None, int | None]:
    """The core for the proxy and the one for load and backend; no pinning on a single core."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else (None, None)
