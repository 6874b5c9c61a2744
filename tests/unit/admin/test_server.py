"""The admin socket in an event loop: who is answered, who is cut, and what is left at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from posthouse.admin import server
from posthouse.admin.api import HEAD_BYTES, Text
from posthouse.admin.server import MOST_AT_ONCE, AdminServer, AdminServers
from posthouse.admin.socket_file import SocketFile
from posthouse.admin.tcp_place import TCPPlace
from posthouse.errors import StartError
from unit.server.fakes import until

ASK = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Functions:
    async def status(self) -> dict[str, object]:
        return {"well": True}

    async def order(self, asked: Mapping[str, str]) -> dict[str, object]:
        return {}

    async def metrics(self, accept: bytes | None) -> Text:
        return Text(200, "text/plain", b"counted 1\n")

    def health(self) -> Text:
        return Text(200, "text/plain", b"alive\n")

    def ready(self) -> Text:
        return Text(503, "text/plain", b"not ready\n")

    async def reload(self) -> dict[str, object]:
        await asyncio.sleep(0.05)
        return {"generation": 2}

    async def upgrade(self) -> dict[str, object]:
        return {"error": "not now"}


class Log:
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, what: str, *, reason: str) -> None:
        self.warned.append(f"{what}: {reason}")


@asynccontextmanager
async def served(path: Path, functions: Functions | None = None) -> AsyncIterator[AdminServer]:
    made = AdminServer(SocketFile(str(path), is_default=False), functions or Functions(), Log())
    made.claim()
    await made.serve()
    try:
        yield made
    finally:
        made.close()
        made.close()
    assert not os.path.exists(path)  # noqa: ASYNC240


def is_open(admin: AdminServer, count: int) -> bool:
    return admin._open == count


async def ask(path: Path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(data)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        await leave(writer)


async def leave(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
    for writer in writers:
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_it_answers_one_question_and_closes(tmp_path: Path) -> None:
    async def talk() -> None:
        async with served(tmp_path / "a.sock") as admin:
            answer = await ask(tmp_path / "a.sock", ASK + ASK)
            assert answer.count(b"HTTP/1.1") == 1 and answer.endswith(b'{\n  "well": true\n}\n')
            assert repr(admin).startswith("<AdminServer <SocketFile ")

    asyncio.run(talk())


@pytest.mark.parametrize(("size", "status"), [(HEAD_BYTES + 4, b"200"), (HEAD_BYTES + 5, b"431")])
def test_a_head_has_a_limit(tmp_path: Path, size: int, status: bytes) -> None:
    async def talk() -> None:
        async with served(tmp_path / "a.sock"):
            head = b"GET /status HTTP/1.1\r\nHost: x\r\nA: "
            data = head + b"b" * (size - len(head) - 4) + b"\r\n\r\n"
            assert (await ask(tmp_path / "a.sock", data)).startswith(b"HTTP/1.1 " + status)

    asyncio.run(talk())


def test_who_says_nothing_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)

    async def talk() -> None:
        async with served(tmp_path / "a.sock"):
            assert await ask(tmp_path / "a.sock", ASK[:-1]) == b""

    asyncio.run(talk())


def test_who_is_cut_at_the_end_is_no_bug(tmp_path: Path) -> None:
    """The worker cancels what still runs when it ends."""
    told: list[object] = []

    async def talk() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        async with served(tmp_path / "a.sock") as admin:
            _, writer = await asyncio.open_unix_connection(str(tmp_path / "a.sock"))
            await until(lambda: admin._open)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await until(lambda: not admin._open)
            await leave(writer)

    asyncio.run(talk())
    assert told == []


def test_who_leaves_is_forgotten(tmp_path: Path) -> None:
    async def talk() -> None:
        async with served(tmp_path / "a.sock") as admin:
            _, writer = await asyncio.open_unix_connection(str(tmp_path / "a.sock"))
            await until(lambda: admin._open)
            await leave(writer)
            await until(lambda: not admin._open)

    asyncio.run(talk())


def test_the_silent_keep_nobody_out(tmp_path: Path) -> None:
    """Where there are as many as there may be, who has kept us waiting for longest is cut for the next."""
    path = tmp_path / "a.sock"

    async def talk() -> None:
        async with served(path) as admin:
            silent: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
            while len(silent) < MOST_AT_ONCE:
                silent.append(await asyncio.open_unix_connection(str(path)))
                silent[-1][1].write(ASK[:5])
                await until(partial(is_open, admin, len(silent)))
            for _ in range(3):
                assert (await ask(path, ASK)).startswith(b"HTTP/1.1 200")
                with contextlib.suppress(ConnectionResetError):
                    assert await silent[0][0].read() == b""
                await until(partial(is_open, admin, MOST_AT_ONCE - 1))
                assert not any(reader.at_eof() for reader, _ in silent[1:]), "one is enough"
                await leave(silent.pop(0)[1])
                silent.append(await asyncio.open_unix_connection(str(path)))
                await until(partial(is_open, admin, MOST_AT_ONCE))
            await leave(*(writer for _, writer in silent))
            await until(lambda: not admin._open)

    asyncio.run(talk())


@pytest.mark.parametrize("count", [MOST_AT_ONCE - 1, MOST_AT_ONCE])
def test_so_many_answers_at_once_and_no_more(tmp_path: Path, count: int) -> None:
    path = tmp_path / "a.sock"

    class Slow(Functions):
        def __init__(self) -> None:
            self.reloading = 0
            self.is_done = asyncio.Event()

        async def reload(self) -> dict[str, object]:
            self.reloading += 1
            await self.is_done.wait()
            return {}

    async def talk() -> None:
        functions = Slow()
        async with served(path, functions):
            busy = [
                asyncio.create_task(ask(path, b"POST /reload HTTP/1.1\r\nHost: x\r\n\r\n"))
                for _ in range(count)
            ]
            await until(lambda: functions.reloading == count)
            expected = b"HTTP/1.1 200" if count < MOST_AT_ONCE else b""
            assert (await ask(path, ASK))[:12] == expected
            functions.is_done.set()
            assert all(answer.startswith(b"HTTP/1.1 200") for answer in await asyncio.gather(*busy))

    asyncio.run(talk())


def test_without_a_place_it_warns_or_refuses(tmp_path: Path) -> None:
    log = Log()
    path = str(tmp_path / "nowhere" / "posthouse" / "a.sock")
    default = AdminServer(SocketFile(path, is_default=True), Functions(), log)
    default.claim()
    asyncio.run(default.serve())
    default.close()
    reason = f"cannot make the admin socket {path}: No such file or directory"
    assert log.warned == [f"no admin socket: {reason}"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="no socket"):
        AdminServer(SocketFile(str(tmp_path / "file"), is_default=False), Functions(), log).claim()


def test_an_answer_may_take_longer_than_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is for the peer: a reload may wait for names."""
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.04)

    async def main() -> None:
        async with served(tmp_path / "a.sock"):
            answer = await ask(tmp_path / "a.sock", ASK.replace(b"GET /status", b"POST /reload"))
            assert answer.startswith(b"HTTP/1.1 200 ")

    asyncio.run(main())


def test_given_up_and_taken_back_nobody_on_tcp_is_refused(tmp_path: Path) -> None:
    """As when an upgrade fails at the last moment: a socket file is gone meanwhile, who comes over TCP waits."""

    async def talk() -> None:
        file, port = SocketFile(str(tmp_path / "a.sock"), is_default=False), TCPPlace("127.0.0.1", 0)
        admin = AdminServers([AdminServer(place, Functions(), Log()) for place in (file, port)])
        admin.claim()
        await admin.serve()
        ((address, _),) = admin.listening().items()
        for _ in range(2):
            admin.give_up()
        assert not os.path.exists(file.path)  # noqa: ASYNC240
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        admin.claim()
        await admin.serve()
        assert (await reader.read()).endswith(b"alive\n")
        await leave(writer)
        assert (await ask(tmp_path / "a.sock", ASK)).startswith(b"HTTP/1.1 200")
        admin.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    asyncio.run(talk())
