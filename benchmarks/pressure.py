"""`make pressure`: a crowd that says nothing, and a burst of connections while a client goes on asking.

Figures to read, not to pass: memory per idle connection at thousands of them and what of it comes back, and how long a
client waits for its answers while 5,000 others connect at once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load import IdleCrowd, cores, raise_descriptor_limit, read_answer
from benchmarks.measure import Plan, Running, running
from benchmarks.processes import pss_bytes
from benchmarks.proxies.table import PROXIES
from benchmarks.rows import ROWS

IDLE = 9_500
"""As near to 10,000 as the 20,000 descriptors go that a process may have without privileges on many machines: two for
each client, and some for the proxy itself."""
BURST = 5_000
QUIET_SECONDS = 1.0
SETTLE_SECONDS = 3.0
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long one client waited for its answers, milliseconds."""

    answers: int
    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Waits:
        """Of a list of seconds, which is not empty."""
        ordered = sorted(seconds)
        at = [statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[-1]]
        return cls(len(ordered), *(value * 1000 for value in at))

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f}  p99 {self.p99:.2f}  most {self.most:.1f} ms  ({self.answers} answers)"


class Asker:
    """A client on one connection; whatever goes wrong ends the measurement with an error."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10.0)

    def ask(self) -> float:
        """Seconds that one answer took."""
        began = time.perf_counter()
        self._socket.sendall(REQUEST)
        read_answer(self._socket)
        return time.perf_counter() - began

    def ask_for(self, seconds: float) -> Waits:
        """One request after the other for so long."""
        end = time.perf_counter() + seconds
        took = []
        while time.perf_counter() < end:
            took.append(self.ask())
        return Waits.of(took)

    def ask_while(self, process: multiprocessing.Process) -> Waits:
        """One request after the other while a process runs."""
        took = [self.ask()]
        while process.is_alive():
            took.append(self.ask())
        return Waits.of(took)

    def close(self) -> None:
        """Leave."""
        self._socket.close()


def burst(port: int, count: int) -> None:
    """So many connections as fast as they can be made; each asks once. They leave together."""
    raise_descriptor_limit()
    opened = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        opened.append(client)
    answered = 0
    for client in opened:
        client.settimeout(20.0)
        try:
            client.sendall(REQUEST)
            read_answer(client)
            answered += 1
        except (OSError, RuntimeError):
            continue
    print(f"    answered in the burst        {answered} of {count}", flush=True)


def measure(each: Running, idle: int, count: int) -> None:
    """Print the figures of one proxy."""
    pids = each.program.pids()
    asker = Asker(each.port)
    print(f"{each.proxy.name}\n    alone                        {asker.ask_for(QUIET_SECONDS)}", flush=True)
    before = pss_bytes(pids)
    crowd = IdleCrowd(each.port, idle)
    full = pss_bytes(pids)
    print(
        f"    {idle} idle connections       {(full - before) / idle / 1024:.2f} KiB each, {crowd.alive()} kept"
    )
    print(f"    beside them                  {asker.ask_for(QUIET_SECONDS)}", flush=True)
    crowd.close()
    time.sleep(SETTLE_SECONDS)
    print(f"    after they left              {(pss_bytes(pids) - before) / 2**20:+.1f} MiB", flush=True)
    process = multiprocessing.Process(target=burst, args=(each.port, count))
    process.start()
    waits = asker.ask_while(process)
    print(f"    while {count} connect at once  {waits}", flush=True)
    process.join()
    asker.close()
    time.sleep(SETTLE_SECONDS)
    print(f"    after the burst              {(pss_bytes(pids) - before) / 2**20:+.1f} MiB", flush=True)


def main() -> int:
    """The figures of all proxies, one after the other."""
    parser = argparse.ArgumentParser(prog="make pressure ARGS=…", description=__doc__.partition("\n")[0])
    parser.add_argument("--idle", type=int, default=IDLE)
    parser.add_argument("--burst", type=int, default=BURST)
    parser.add_argument("--proxy", action="append", choices=["posthouse", "nginx", "haproxy"])
    arguments = parser.parse_args()
    raise_descriptor_limit()
    proxies = [PROXIES[name] for name in arguments.proxy or ("posthouse", "nginx", "haproxy")]
    row = next(row for row in ROWS if row.name == "idle")
    plan = Plan(1, 1.0, 0.0, *cores())
    with running(row, proxies, plan, lambda line: print(line, file=sys.stderr)) as (started, _):
        for each in started:
            measure(each, arguments.idle, arguments.burst)
    return int(len(started) < len(proxies))


if __name__ == "__main__":
    raise SystemExit(main())
