"""Reloads in a row under 64 clients, of one worker and of three: no request fails, no connection with a request in
flight is cut, what is long lives on, and the memory comes back.

The clients and the backends run in the test's own event loop; Posthouse is a process.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from kit import Posthouse

CLIENTS = 64
RELOADS, WITH_SEVERAL = 50, 20
SITES = 40
WARM_UP = 10
"""Reloads after which caches, pools and the allocator have filled."""
MAY_GROW = 4 << 20
"""Bytes in forty reloads: seen is less than half, and nothing more in the two hundred that follow."""
BLOCK = b"d" * 16_384

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def configuration(number: int, port: int, other: int, backends: list[int]) -> str:
    """The one of a reload: a value changes each time; lines, sites, a listener, a backend come and go."""
    lines = ["# a line"] * (number % 3)
    for site in range(SITES + number % 2):
        value = number if site in (0, number % SITES) else 0
        members = backends if number % 5 or site != 1 else backends[:1]
        lines.append(
            f"http://site{site}.test:{port} {{\n bind 127.0.0.1\n header / X-Number {value}\n log access.log\n"
            f" proxy / {' '.join(f'127.0.0.1:{one}' for one in members)} {{\n  policy round_robin\n"
            "  fail_timeout 10s\n }\n}"
        )
    if number % 4 == 0:
        lines.append(f"http://127.0.0.1:{other} {{\n bind 127.0.0.1\n status 204 /\n}}")
    return "\n".join(lines) + "\n"


class Backend:
    """Answers with the path; /download goes on until `ending` is set, /upgrade becomes an echo."""

    def __init__(self, ending: asyncio.Event) -> None:
        self.port = 0
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self._ending = ending

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1]
                if path == b"/upgrade":
                    await self._echo(reader, writer)
                    return
                if path == b"/download":
                    await self._download(writer)
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _download(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self._ending.is_set():
            writer.write(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))
            await writer.drain()
            await asyncio.sleep(0.002)
        writer.write(b"0\r\n\r\n")

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        while data := await reader.read(1000):
            writer.write(data)


class Crowd:
    """The clients. lost: what went wrong, with whom."""

    def __init__(self, port: int, ending: asyncio.Event) -> None:
        self.port = port
        self.lost: list[str] = []
        self.done = 0
        self.echoes = 0
        self.downloaded = 0
        self._ending = ending

    async def guard(self, name: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self.lost.append(f"{name}: {error!r}")

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def keep_asking(self, number: int) -> None:
        """One connection for all of it: a reload gives no reason to close one."""
        reader, writer = await self.connect()
        host = number % SITES
        while not self._ending.is_set():
            path = b"/%d/%d" % (number, self.done)
            head, body = await ask(reader, writer, path, b"site%d.test" % host)
            assert head.startswith(b"HTTP/1.1 200 ") and body == path, (path, head, body)
            assert b"connection: close" not in head.lower(), head
            self.done += 1
        writer.close()

    async def echo(self) -> None:
        reader, writer = await self.connect()
        fields = b"Host: site2.test\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
        writer.write(b"GET /upgrade HTTP/1.1\r\n" + fields)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        while not self._ending.is_set():
            word = b"%d." % self.echoes
            writer.write(word)
            assert await reader.readuntil(b".") == word
            self.echoes += 1
            await asyncio.sleep(0.005)
        writer.close()

    async def download(self) -> None:
        reader, writer = await self.connect()
        writer.write(b"GET /download HTTP/1.1\r\nHost: site3.test\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        while size := int(await reader.readuntil(b"\r\n"), 16):
            assert len(await reader.readexactly(size + 2)) == size + 2
            self.downloaded += size
        writer.close()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes, host: bytes
) -> tuple[bytes, bytes]:
    """One exchange on a connection: head and body."""
    writer.write(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, host))
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head, await reader.readexactly(int(lengths[0].partition(b":")[2]))


def resident(pid: int) -> int:
    """Bytes of memory of its own that a process holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def all_of(posthouse: Posthouse) -> int:
    """Bytes of memory of all its processes."""
    return sum(map(resident, (posthouse.pid, *posthouse.workers())))


async def reload_until_live(posthouse: Posthouse, text: str, number: int, port: int) -> None:
    posthouse.config.write_text(text)
    posthouse.signal(signal.SIGUSR1)
    for _ in range(2000):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head, _ = await ask(reader, writer, b"/probe", b"site0.test")
        writer.close()
        if b"X-Number: %d\r\n" % number in head:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"reload {number} is not applied\n{posthouse.stderr()}")


async def conversation(start_posthouse: Callable[..., Posthouse], reloads: int, workers: int) -> None:
    ending = asyncio.Event()
    backends = [Backend(ending), Backend(ending)]
    servers = [await backend.start() for backend in backends]
    ports = [backend.port for backend in backends]
    first = configuration(0, 1111, 2222, ports).replace("1111", "PORT").replace("2222", "PORT2")
    posthouse = await asyncio.to_thread(start_posthouse, first, workers=workers)
    port, other = posthouse.named_port(), posthouse.named_port("PORT2")
    crowd = Crowd(port, ending)
    works = [("echo", crowd.echo()), ("download", crowd.download())]
    works += [(f"client {number}", crowd.keep_asking(number)) for number in range(CLIENTS)]
    tasks = [asyncio.create_task(crowd.guard(name, work)) for name, work in works]
    held = 0
    try:
        for number in range(1, reloads + 1):
            before = crowd.done, crowd.echoes, crowd.downloaded
            await reload_until_live(posthouse, configuration(number, port, other, ports), number, port)
            while crowd.done < before[0] + CLIENTS // 4 or crowd.echoes == before[1]:
                assert not crowd.lost and not posthouse.process.poll(), crowd.lost
                await asyncio.sleep(0.002)
            if number == WARM_UP:
                held = all_of(posthouse)
        assert crowd.downloaded > before[2], "the download lives on"
        grown = all_of(posthouse) - held
    finally:
        ending.set()
        await asyncio.wait(tasks, timeout=20)
        for backend, server in zip(backends, servers, strict=True):
            server.close()
            for writer in tuple(backend.open):
                writer.close()
        while any(backend.open for backend in backends):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    assert crowd.lost == []
    assert all(task.done() for task in tasks)
    assert grown < MAY_GROW * workers, f"{grown >> 10} KiB more after {reloads - WARM_UP} reloads"
    # Backends that stay keep their warm connections: the crowd never needs more at once than it is.
    assert sum(backend.connections for backend in backends) <= 2 * (CLIENTS + 10) * workers
    assert " ERROR " not in posthouse.stderr() and " WARN " not in posthouse.stderr()


def test_fifty_reloads_under_64_clients(start_posthouse: Callable[..., Posthouse]) -> None:
    asyncio.run(conversation(start_posthouse, RELOADS, workers=1))


def test_twenty_reloads_of_three_workers(start_posthouse: Callable[..., Posthouse]) -> None:
    asyncio.run(conversation(start_posthouse, WITH_SEVERAL, workers=3))
