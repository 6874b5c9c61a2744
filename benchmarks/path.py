"""CPU of the request's path without sockets: `python -m benchmarks.path`.

Both transports are stand-ins, the backend answers inside `write`; what is left is Posthouse's own work. Prints the
best of several rounds in µs per request; noise only ever adds. Rows with two workers are those of one of two, the other
of which does nothing.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Collection
from typing import Any, cast

from posthouse import __version__
from posthouse.adapt import adapt
from posthouse.balance.pool import Pool
from posthouse.config.specs import Config
from posthouse.observe.process_log import ProcessLog
from posthouse.server import wakes
from posthouse.server.block import create
from posthouse.server.colleagues import Colleagues
from posthouse.server.cursors import Cursor, CursorKeeper
from posthouse.server.generation import build
from posthouse.server.rows import Rows, keys_of
from posthouse.server.runtime import Runtime
from posthouse.server.shares import Shares
from posthouse.server.sharing import pools_of

ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 23 Nov 2026 19:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"
)
HEAD = (
    b"GET /api/users?id=%d HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-US\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Cookie: session=%d\r\nX-Request-Id: %d\r\nCache-Control: max-age=0\r\nReferer: http://example.com/\r\n\r\n"
)


class FakeTransport:
    """As much of a transport as the path uses."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.answers = False

    def write(self, data: bytes) -> None:
        """A backend answers at once."""
        if self.answers:
            self.protocol.data_received(ANSWER)

    def get_extra_info(self, name: str) -> Any:
        """An address."""
        return ("192.0.2.7", 40000) if name == "peername" else None

    def is_closing(self) -> bool:
        """Never."""
        return False

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def abort(self) -> None:
        """Nothing to do."""


def connect(protocol: Any, *, answers: bool) -> Any:
    """Join a protocol and a stand-in."""
    transport = FakeTransport()
    transport.protocol = protocol
    transport.answers = answers
    protocol.connection_made(transport)
    return protocol


def share(pools: Collection[Pool]) -> None:
    """Make them those of one of two workers."""
    rows = Rows()
    for pool in pools:
        rows.give(1, keys_of(pool.spec))
    block = create(2, __version__)
    block.grow(rows.size)
    shares = Shares(block, wakes.make(2), 0)
    shares.know(rows.all, rows.size)
    for pool in pools:
        group = shares.group(pool.name, [backend.key for backend in pool.backends])
        assert group is not None
        pool.share(group)


def take_turns(runtime: Runtime, config: Config) -> Colleagues:
    """What one of two workers knows of cursors."""
    colleagues = Colleagues(runtime, 0, cast(Any, None), print)
    colleagues.cursors |= {name: Cursor(made) for name, made in CursorKeeper().give(pools_of(config)).items()}
    return colleagues


def prepare(caddyfile: str, loop: asyncio.AbstractEventLoop, *, has_colleague: bool = False) -> Any:
    """A client's connection with warm backends behind it."""
    from posthouse.net.upstream_h1 import UpstreamH1

    runtime = Runtime(loop, ProcessLog("stderr"))
    config = adapt(caddyfile, "bench").config
    if has_colleague:
        runtime.colleagues = take_turns(runtime, config)
    generation = build(config, runtime, None)
    if has_colleague:
        share(generation.pools.values())
    generation.start()
    for pool in generation.pools.values():
        for backend in pool.backends:
            upstream = connect(UpstreamH1(runtime.reactor, runtime.idle, backend), answers=True)
            runtime.idle.release(upstream, 64)
    return connect(runtime.listener(generation.handler(generation.listen[0])).connection(), answers=False)


def measure(name: str, caddyfile: str, *, is_different: bool, rounds: int = 7, count: int = 20_000) -> None:
    """Print the best round."""
    loop = asyncio.new_event_loop()
    client = prepare(caddyfile, loop, has_colleague=name.endswith("two workers"))
    best = float("inf")
    number = 0
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        heads = [HEAD % ((number + i,) * 3 if is_different else (1, 1, 1)) for i in range(count)]
        number += count
        began = time.process_time()
        for head in heads:
            client.data_received(head)
        best = min(best, (time.process_time() - began) / count * 1e6)
    print(f"{name:40} {best:6.2f} µs")
    loop.close()


def main() -> None:
    """All rows."""
    proxy = "proxy / 127.0.0.1:9000"
    three = f"http://:80 {{\n{proxy} 127.0.0.1:9001 127.0.0.1:9002 {{\npolicy %s\n}}\n}}"
    robin, least = three % "round_robin", three % "least_conn"
    limited = three % "round_robin\nmax_conns 100"
    rules = "\n".join(f"header_upstream X-Rule-{i} value{i}" for i in range(12))
    with tempfile.NamedTemporaryFile() as log:
        rows = [
            ("same head", f"http://:80 {{\n{proxy}\n}}", False),
            ("different heads", f"http://:80 {{\n{proxy}\n}}", True),
            ("transparent, different", f"http://:80 {{\n{proxy} {{\ntransparent\n}}\n}}", True),
            ("12 rules, different", f"http://:80 {{\n{proxy} {{\n{rules}\n}}\n}}", True),
            ("12 rules, same", f"http://:80 {{\n{proxy} {{\n{rules}\n}}\n}}", False),
            ("3 backends, same", f"http://:80 {{\n{proxy} 127.0.0.1:9001 127.0.0.1:9002\n}}", False),
            ("round_robin of 3, one worker", robin, False),
            ("round_robin of 3, two workers", robin, False),
            ("least_conn of 3, one worker", least, False),
            ("least_conn of 3, two workers", least, False),
            ("max_conns on 3, one worker", limited, False),
            ("max_conns on 3, two workers", limited, False),
            ("log common, same", f"http://:80 {{\n{proxy}\nlog / {log.name}\n}}", False),
            ("log common, different", f"http://:80 {{\n{proxy}\nlog / {log.name}\n}}", True),
            ("log json, same", f"http://:80 {{\n{proxy}\nlog / {log.name} json\n}}", False),
            ("metrics, same", f"http://:80 {{\n{proxy}\nmetrics\n}}", False),
            ("metrics, different", f"http://:80 {{\n{proxy}\nmetrics\n}}", True),
        ]
        for name, caddyfile, is_different in rows:
            if len(sys.argv) < 2 or sys.argv[1] in name:
                measure(name, caddyfile, is_different=is_different)


if __name__ == "__main__":
    main()
