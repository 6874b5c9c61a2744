"""The clients of `make bench`'s events count what was lost, and only that; its tables say what was not measured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.events.clients import Crowd, Seen
from benchmarks.events.table import COLUMNS, lines, markdown

from unit.server.fakes import until

ANSWER = b"HTTP/1.1 200 OK\r\nX-Generation: %d\r\nContent-Length: 2\r\n%s\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _seen(serve: Serve, enough: Callable[[Seen], bool]) -> Seen:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        crowd = Crowd(server.sockets[0].getsockname()[1], clients=1, downloads=0)
        await until(lambda: enough(crowd.seen))
        return await crowd.leave()


def serving(*answers: bytes) -> Serve:
    """Each connection gets these answers, then it is closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            if not await reader.read(1000):
                break
            writer.write(answer)
        writer.close()

    return serve


def test_answers_and_generations_are_counted() -> None:
    seen = asyncio.run(
        _seen(serving(ANSWER % (1, b""), ANSWER % (7, b"Connection: close\r\n")), lambda seen: seen.new == 7)
    )
    assert (seen.answers, seen.lost, seen.wrong) == (2, 0, 0) and seen.worst > 0


def test_who_was_told_that_it_ends_has_lost_nothing() -> None:
    seen = asyncio.run(_seen(serving(ANSWER % (1, b"Connection: close\r\n")), lambda seen: seen.answers == 3))
    assert seen.lost == 0


def test_a_request_without_a_whole_answer_is_lost() -> None:
    for answer in (b"", ANSWER[:-1] % (1, b"")):
        seen = asyncio.run(_seen(serving(answer), lambda seen: seen.lost >= 1))
        assert seen.answers == 0


def test_another_status_is_wrong() -> None:
    bad = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    assert asyncio.run(_seen(serving(bad), lambda seen: seen.answers >= 1)).wrong >= 1


def test_the_tables_name_every_figure_or_why_there_is_none() -> None:
    figures: dict[str, Any] = {
        wanted.partition(":")[0]: 1 for _, columns in COLUMNS.values() for wanted in columns.values()
    }
    for event in COLUMNS:
        found = {
            "posthouse": figures,
            "nginx": {**figures, "wrong": 2},
            "haproxy": {"missing": "one process"},
        }
        shown = lines(event, found)
        assert "– one process" in shown[-1] and "2 WRONG ANSWERS" in shown[-2]
        assert "| haproxy (one process) | – |" in markdown({event: found})
