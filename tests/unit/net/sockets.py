"""Real sockets on loopback for tests: servers without a thread, addresses that never answer, names that we make up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]


def open_sockets() -> int:
    """How many sockets this process has open. (Event loops open other descriptors when they first need them.)"""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


@contextmanager
def serving(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """A listening socket. The kernel connects whoever asks; the test may accept."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as server:
        server.settimeout(5)
        yield server


@contextmanager
def serving_on_one_port(*hosts: str) -> Iterator[list[socket.socket]]:
    """Listening sockets of several addresses with the same port."""
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            try:
                first = stack.enter_context(serving(hosts[0]))
                port = first.getsockname()[1]
                servers = [first, *(stack.enter_context(serving(host, port)) for host in hosts[1:])]
            except OSError:
                continue
            yield servers
            return
    raise AssertionError("no port is free on all addresses")


def dead_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on."""
    with serving(host) as server:
        return int(server.getsockname()[1])


@contextmanager
def silent(host: str, port: int = 0) -> Iterator[int]:
    """A port that neither connects nor refuses: its queue is full, so the kernel drops what comes."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(0)
        for _ in range(16):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
            if not select.select([], [filler], [], 0.02)[1]:
                break
        yield int(server.getsockname()[1])


class Names:
    """What a resolver needs of a loop, with names of our own; counts how often it is asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop, names: dict[str, list[str] | Exception]) -> None:
        self.loop = loop
        self.names = names
        self.asked: list[str] = []
        self.now = 0.0
        self.gate: asyncio.Event | None = None
        self.create_task: Callable[..., asyncio.Task[object]] = loop.create_task

    def time(self) -> float:
        return self.now

    async def getaddrinfo(self, host: str, port: int, *, type: int = 0) -> list[Found]:
        self.asked.append(host)
        if self.gate is not None:
            await self.gate.wait()
        found = self.names.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(found, Exception):
            raise found
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in found
        ]
