"""The fault matrix: bodies both sides know, what an ending counts as, and how each proxy is told the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.fronts import FRONTS, Front, with_hosts
from benchmarks.faults.judge import (
    LATE_SECONDS,
    Ending,
    Outcome,
    broken_promises,
    judge,
    moved,
    read_executions,
)
from benchmarks.faults.table import HEADINGS, cells, markdown
from benchmarks.faults.wire import Kind, body_of, body_parts, read_head, read_target, target

BEGAN, ENDED = 100.0, 110.0


def outcome(ending: Ending, kind: Kind = Kind.GET, at: float = 105.0, took: float = 0.1) -> Outcome:
    return Outcome("id", kind, at, at + took, ending, 502 if ending is Ending.STATUS else 200)


def test_a_target_is_read_as_it_was_written() -> None:
    assert read_target(target(Kind.STREAM, "a-1", 30)) == (Kind.STREAM, "a-1", 30)


@pytest.mark.parametrize("text", ["/health", "/", "/put/a/1", "/get/a/x", "/get/a/1/2"])
def test_other_targets_are_none(text: str) -> None:
    assert read_target(text) is None


def test_a_body_has_its_size_and_belongs_to_one_id() -> None:
    assert [len(body_of("a", size)) for size in (0, 1, 64, 65, 1000)] == [0, 1, 64, 65, 1000]
    assert body_of("a", 1000) != body_of("b", 1000)
    assert body_of("a", 1000).startswith(body_of("a", 500))


def read(data: bytes) -> tuple[str, bytes]:
    async def run() -> tuple[str, bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        first, fields = await read_head(reader)
        return first, b"".join([part async for part in body_parts(fields, reader)])

    return asyncio.run(run())


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 5\r\n\r\nhelloEXTRA",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\nEXTRA",
        b"X: y\r\n\r\nhello",
    ],
)
def test_a_body_ends_where_its_framing_says(rest: bytes) -> None:
    assert read(b"HTTP/1.1 200 OK\r\n" + rest) == ("HTTP/1.1 200 OK", b"hello")


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 5\r\n\r\nhell",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"Content-Le",
    ],
)
def test_an_early_end_is_told(rest: bytes) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        read(b"HTTP/1.1 200 OK\r\n" + rest)


@pytest.mark.parametrize(
    ("ending", "kind", "figure"),
    [
        (Ending.STATUS, Kind.GET, "lost"),
        (Ending.BROKEN, Kind.STREAM, "lost"),
        (Ending.HUNG, Kind.GET, "lost"),
        (Ending.STATUS, Kind.POST, "lost_posts"),
        (Ending.CUT, Kind.GET, "cut"),
        (Ending.SHORT, Kind.POST, "short"),
        (Ending.FOREIGN, Kind.GET, "foreign"),
    ],
)
def test_each_ending_counts_once(ending: Ending, kind: Kind, figure: str) -> None:
    verdict = judge([outcome(ending, kind), outcome(Ending.GOOD)], Counter(), BEGAN, ENDED)
    figures = {name: getattr(verdict, name) for name in ("lost", "lost_posts", "cut", "short", "foreign")}
    assert figures == {name: int(name == figure) for name in figures}
    assert verdict.asked == 2


def test_what_was_executed() -> None:
    executions = read_executions(["POST id", "POST twice", "GET often", "POST twice", "GET often"])
    verdict = judge([outcome(Ending.STATUS, Kind.POST)], executions, BEGAN, ENDED)
    assert (verdict.doubled, verdict.lost_posts, verdict.lost_posts_executed) == (1, 1, 1)
    assert verdict.statuses == {502: 1}
    never = judge([outcome(Ending.BROKEN, Kind.POST)], Counter(), BEGAN, ENDED)
    assert (never.doubled, never.lost_posts_executed) == (0, 0)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], 0.0),
        ([outcome(Ending.GOOD)], 0.0),
        ([outcome(Ending.GOOD, took=LATE_SECONDS)], 0.0),
        ([outcome(Ending.GOOD, took=LATE_SECONDS + 0.5)], 5.0),
        ([outcome(Ending.CUT, at=103.0), outcome(Ending.STATUS, at=102.0)], 3.0),
        ([outcome(Ending.CUT, at=99.0, took=0.5)], 0.0),
        ([outcome(Ending.CUT, at=99.0, took=2.0)], 0.0),
        ([outcome(Ending.CUT, at=109.0)], 9.0),
        ([outcome(Ending.CUT, at=109.5)], None),
        ([outcome(Ending.CUT, at=111.0)], 0.0),
    ],
)
def test_the_traffic_has_moved_when_nobody_notices_any_more(
    outcomes: list[Outcome], expected: float | None
) -> None:
    assert moved(outcomes, BEGAN, ENDED) == expected


def test_promises() -> None:
    kept = judge(
        [outcome(Ending.GOOD), outcome(Ending.CUT), outcome(Ending.STATUS, Kind.POST)],
        Counter(),
        BEGAN,
        ENDED,
    )
    assert broken_promises(kept, may_lose=False) == []
    lost = replace(kept, lost=2)
    assert broken_promises(lost, may_lose=False) == ["2 idempotent requests were lost"]
    assert broken_promises(lost, may_lose=True) == []
    assert len(broken_promises(replace(kept, doubled=1, short=1, foreign=1), may_lose=True)) == 3


def test_the_table_has_a_line_per_fault_and_proxy() -> None:
    verdict = judge(
        [outcome(Ending.STATUS, Kind.POST), outcome(Ending.CUT, at=109.9)], Counter(), BEGAN, ENDED
    )
    assert len(cells("killed", "nginx", verdict)) == len(HEADINGS)
    lines = markdown(
        {"killed": {"posthouse": verdict, "nginx": verdict}}, {"killed": "killed (-9)"}
    ).splitlines()
    assert len(lines) == 4
    assert lines[2] == "| killed (-9) | posthouse | 2 | 0 | 0 | 0 | 1 (0) | 1 | to its end | 0.1 s |"
    assert lines[3].startswith("|  | nginx |")


def test_faults_are_known_by_their_names() -> None:
    assert all(name == fault.name for name, fault in FAULTS.items())
    assert len({fault.title for fault in FAULTS.values()}) == len(FAULTS)


@pytest.mark.parametrize("name", FRONTS)
def test_each_proxy_knows_every_backend_and_listens_on_loopback(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("benchmarks.faults.fronts", "benchmarks.proxies.nginx", "benchmarks.proxies.caddy"):
        monkeypatch.setattr(f"{module}.program", lambda name: f"/bin/{name}")
    argv = FRONTS[name].prepare(Front(12345, ["127.0.0.1:9001", "one.faults.test:9002"], tmp_path))
    [conf] = [path for path in tmp_path.iterdir() if path.is_file()]
    text = conf.read_text()
    assert str(conf) in argv
    assert "127.0.0.1:9001" in text and "one.faults.test:9002" in text and "12345" in text
    assert "0.0.0.0" not in text and "bind *" not in text


def test_names_of_its_own_leave_the_command_as_it_is(tmp_path: Path) -> None:
    wrapped = with_hosts(["nginx", "-g", "daemon off;"], tmp_path / "hosts", tmp_path)
    assert wrapped[0] == "unshare"
    assert wrapped[-3:] == ["nginx", "-g", "daemon off;"]
    assert "127.0.0.1" in (tmp_path / "resolv.conf").read_text()
