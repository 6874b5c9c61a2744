"""`make reloads`: one-line changes of a large Caddyfile under load; when they are live, and who waited meanwhile.

Three kinds of change: a value in a line; a line more, which moves every site after it; a site more. A change is live
when a new connection is answered by it. Stalls are the longest that any of the clients waited for an answer, beside the
longest without a reload, which is what this machine does by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import cores, raise_descriptor_limit
from benchmarks.processes import NotReady, Program, free_port, module, pss_bytes
from benchmarks.report import machine, print_machine

CLIENTS = 64
PAUSE_SECONDS = 0.02
"""Between an answer and the client's next request: the proxy is to be busy, not swamped, or every wait is a queue's."""
QUIET_SECONDS = 3.0
PATIENCE = 60.0

SITE = """http://site{number}.test:{port} {{
    bind 127.0.0.1
    header / X-Value {value}
    gzip
    proxy / 127.0.0.1:{backend} {{
        policy round_robin
        transparent
        max_fails 3
        fail_timeout 10s
    }}
    proxy /api 127.0.0.1:{backend}
}}
"""


class Client(asyncio.Protocol):
    """One kept connection: a request, its answer, a pause, and again."""

    def __init__(self, waits: Waits, host: str) -> None:
        self._waits = waits
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._asked = 0.0
        self._is_over = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        if not self._is_over:
            self._asked = time.perf_counter()
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._waits.add(time.perf_counter() - self._asked, is_right=data.startswith(b"HTTP/1.1 200 "))
        asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._ask)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_over:
            self._waits.lost += 1

    def close(self) -> None:
        self._is_over = True
        self._transport.close()


@dataclass(slots=True)
class Waits:
    """What the clients have seen since `begin`."""

    worst: float = 0.0
    count: int = 0
    lost: int = 0

    def add(self, seconds: float, *, is_right: bool) -> None:
        self.count += 1
        self.worst = max(self.worst, seconds)
        self.lost += not is_right

    def begin(self) -> None:
        self.worst = 0.0


@dataclass(slots=True)
class File:
    """The Caddyfile, and the ways in which it changes."""

    path: Path
    sites: int
    port: int
    backend: int
    value: int = 0
    lines: int = 0

    def write(self) -> None:
        """As it is now: the values of one site in the middle, and further lines and sites before it."""
        middle = self.sites // 2
        parts = [self._site(number, 0) for number in range(self.sites)]
        parts[middle] = self._site(middle, self.value)
        parts.insert(1, "# a line\n" * self.lines)
        temporary = self.path.with_suffix(".new")
        temporary.write_text("".join(parts))
        temporary.replace(self.path)

    def _site(self, number: int, value: int) -> str:
        return SITE.format(number=number, port=self.port, backend=self.backend, value=value)

    def change_value(self) -> None:
        self.value += 1

    def add_line(self) -> None:
        self.value += 1
        self.lines += 1

    def add_site(self) -> None:
        self.value += 1
        self.sites += 1


@dataclass(slots=True)
class Bench:
    """One Posthouse under load."""

    file: File
    program: Program
    reloads: int
    waits: Waits = field(default_factory=Waits)

    async def run(self) -> bool:
        """Print a line for each kind of change; whether no client has lost anything."""
        clients = await self._connect()
        await asyncio.sleep(1.0)
        self.waits.begin()
        await asyncio.sleep(QUIET_SECONDS)
        print(f"{'':<28}{'live ms':>10}{'worst':>8}{'stall ms':>10}{'MiB':>7}")
        print(f"{'no reload':<28}{'':>10}{'':>8}{self.waits.worst * 1000:>10.1f}{self._mib():>7.0f}")
        kinds = {
            "a value in a line": self.file.change_value,
            "a line more, near the top": self.file.add_line,
            "a site more, at the end": self.file.add_site,
        }
        for name, change in kinds.items():
            await self._measure(name, change)
        for client in clients:
            client.close()
        print(f"{self.waits.count} requests, {self.waits.lost} lost")
        return not self.waits.lost

    async def _connect(self) -> list[Client]:
        loop = asyncio.get_running_loop()
        made = []
        for number in range(CLIENTS):
            host = f"site{number * self.file.sites // CLIENTS}.test"
            _, client = await loop.create_connection(
                lambda host=host: Client(self.waits, host),  # type: ignore[misc]
                "127.0.0.1",
                self.file.port,
            )
            made.append(client)
        return made

    async def _measure(self, name: str, change: Callable[[], None]) -> None:
        live, worst = [], 0.0
        for _ in range(self.reloads):
            change()
            await asyncio.get_running_loop().run_in_executor(None, self.file.write)
            await asyncio.sleep(0.2)
            self.waits.begin()
            began = time.perf_counter()
            os.kill(self.program.pid, signal.SIGUSR1)
            await self._wait_live()
            live.append(time.perf_counter() - began)
            await asyncio.sleep(1.0)  # what follows a reload may hold clients up as well
            worst = max(worst, self.waits.worst)
        median, longest = statistics.median(live) * 1000, max(live) * 1000
        print(f"{name:<28}{median:>10.0f}{longest:>8.0f}{worst * 1000:>10.1f}{self._mib():>7.0f}", flush=True)

    async def _wait_live(self) -> None:
        wanted = b"X-Value: %d\r\n" % self.file.value
        host = f"site{self.file.sites // 2}.test"
        deadline = time.perf_counter() + PATIENCE
        while wanted not in await _answer(self.file.port, host):
            if time.perf_counter() > deadline:
                raise NotReady(f"reload {self.file.value} is not live\n{self.program.tail()}")
            await asyncio.sleep(0.005)

    def _mib(self) -> float:
        return pss_bytes(self.program.pids()) / (1 << 20)


async def _answer(port: int, host: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def main() -> int:
    """Measure and print; 1 if a request was lost."""
    parser = argparse.ArgumentParser(prog="make reloads ARGS=…", description=__doc__)
    parser.add_argument("--sites", type=int, default=5000)
    parser.add_argument("--reloads", type=int, default=10, help="of each kind")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    proxy_core, load_core = cores()
    print_machine(machine({"posthouse": [sys.executable, "-m", "posthouse", "version"]}))
    with tempfile.TemporaryDirectory() as folder:
        port, backend = free_port(), free_port()
        file = File(Path(folder, "Caddyfile"), arguments.sites, port, backend)
        file.write()
        sink = Program("sink", module("sink", backend), Path(folder), load_core)
        command = [sys.executable, "-m", "posthouse", "run", "--config", str(file.path)]
        try:
            sink.wait_ready(backend)
            posthouse = Program("posthouse", command, Path(folder), proxy_core)
            try:
                posthouse.wait_ready(port, 60.0)
                if load_core is not None:
                    os.sched_setaffinity(0, {load_core})
                is_good = asyncio.run(Bench(file, posthouse, arguments.reloads).run())
            finally:
                posthouse.stop()
        except (OSError, NotReady) as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            sink.stop()
    return int(not is_good)


if __name__ == "__main__":
    raise SystemExit(main())
