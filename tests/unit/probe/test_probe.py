"""One check: whatever the backend does, one finding comes of it, in time, and nothing is left open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from posthouse.balance.active_health import Finding, Verdict
from posthouse.config.specs import CheckSpec
from posthouse.errors import Failure, Side
from posthouse.probe.check import Check
from posthouse.probe.probe import LINGER_BYTES, LINGER_SECONDS, Probe, is_among, shorten
from posthouse.probe.text_search import SEARCH_BYTES
from unit.net.wire import Wire
from unit.probe.bench import BAD, OK, Bench, Dial, check, refused

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"


def passed(reason: str) -> Finding:
    return Finding(Verdict.PASS, reason)


def failed(reason: str) -> Finding:
    return Finding(Verdict.FAIL, reason)


class Run:
    """One probe, started."""

    def __init__(self, of: Check | None = None, **ask: object) -> None:
        self.bench = Bench()
        self.found: list[Finding | Failure] = []
        self.check = of or check(ask=CheckSpec("/h", **ask))  # type: ignore[arg-type]
        self.probe = Probe(self.check, self.bench, self.found.append)
        self.probe.start()

    @property
    def dial(self) -> Dial:
        [dial] = self.bench.dials
        return dial

    def answer(self, *pieces: bytes) -> Wire:
        wire = self.dial.connect()
        assert wire.take() == self.check.head
        for piece in pieces:
            wire.feed(piece)
            self.bench.stand.turn()
        return wire

    def finding(self) -> Finding | Failure:
        """What was found, once; nothing is left."""
        [found] = self.found
        assert repr(self.probe) == "<Probe http://a:80 over>"
        self.bench.assert_nothing_left()
        assert self.found == [found]
        return found


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (OK, passed("status 200")),
        (b"HTTP/1.1 204 No\r\n\r\n", passed("status 204")),
        (b"HTTP/1.0 399 Odd\r\nContent-Length: 0\r\n\r\n", passed("status 399")),
        (b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", passed("status 301")),
        (b"HTTP/1.1 103 Early\r\n\r\n" + OK, passed("status 200")),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", failed("status 400")),
        (BAD, failed("status 503")),
        (b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", failed("status 101")),
        (b"SSH-2.0-x\r\n", failed("malformed: not an HTTP/1 response")),
        (
            OK.replace(b"2\r\n", b"2\r\nContent-Length: 2\r\n"),
            failed("malformed: more than one Content-Length"),
        ),
    ],
)
def test_what_an_answer_means(answer: bytes, found: Finding) -> None:
    whole, pieces = Run(), Run()
    whole.answer(answer)
    pieces.answer(*[answer[at : at + 1] for at in range(len(answer))])
    assert whole.finding() == pieces.finding() == found


@pytest.mark.parametrize(("status", "is_good"), [(199, 0), (200, 1), (299, 1), (300, 0), (404, 1), (500, 0)])
def test_statuses_of_ones_own(status: int, is_good: int) -> None:
    assert is_among(status, ((200, 299), (404, 404))) == bool(is_good)


def test_draining_comes_before_everything_else() -> None:
    run = Run(statuses=((200, 599),), drain=((503, 503),), contains="text")
    run.answer(BAD)
    assert run.finding() == Finding(Verdict.DRAIN, "status 503")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"X-Draining: 1", "field X-Draining is '1'"),
        (b"x-draining:", "field x-draining is ''"),
        (b"Gone-Soon: " + b"y" * 50, f"field Gone-Soon is '{'y' * 40}…'"),
        (b"X-Draining: off\r\nX-Draining: in 3 s", "field X-Draining is 'in 3 s'"),
        (b"X-Draining: \x9b", "field X-Draining is '\\x9b'"),
        (b"X-Draining: 0", ""),
        (b"X-Draining: False", ""),
        (b"X-Draining: no\r\nGone-Soon: OFF", ""),
        (b"X-Drain: 1", ""),
    ],
)
@pytest.mark.parametrize("answer", [OK, BAD])
def test_a_field_that_says_draining(answer: bytes, line: bytes, says: str) -> None:
    run = Run(statuses=((200, 599),), drain_fields=("X-Draining", "Gone-Soon"))
    run.answer(answer.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1))
    status = answer.split()[1].decode()
    assert run.finding() == (Finding(Verdict.DRAIN, says) if says else passed(f"status {status}"))


def test_a_status_that_fails_is_no_matter_of_the_body() -> None:
    run = Run(contains="ok")
    run.answer(BAD)
    assert run.finding() == failed("status 503")


@pytest.mark.parametrize(
    "end",
    [
        lambda wire: wire.feed_eof(),
        lambda wire: wire.lose(),
        lambda wire: wire.lose(ConnectionResetError("reset")),
    ],
)
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 O"])
def test_a_backend_that_closes(end: Callable[[Wire], None], begun: bytes) -> None:
    run = Run()
    end(run.answer(*[begun] if begun else []))
    found = run.finding()
    assert isinstance(found, Finding) and found.verdict is Verdict.FAIL
    assert found.reason.startswith("reset: c")


def test_nobody_listens() -> None:
    run = Run()
    run.dial.fail(refused())
    assert run.finding() == failed("connect: Connection refused")


def test_what_is_our_own_fault_says_nothing_of_the_backend() -> None:
    run = Run()
    run.dial.fail(refused(Side.POSTHOUSE))
    assert run.finding() == refused(Side.POSTHOUSE)


def test_connecting_alone() -> None:
    run = Run(check(head=b"", ask=CheckSpec()))
    wire = run.dial.connect()
    assert wire.take() == b""
    assert run.finding() == passed("connected")


def test_head_has_no_body() -> None:
    run = Run(method="HEAD")
    run.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    assert run.finding() == passed("status 200")


# -- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        (None, "no connection within 5 s"),
        ([], "no answer within 5 s"),
        ([b"HTTP/1.1 200 OK\r\n"], "no answer within 5 s"),
        ([b"HTTP/1.1 103 Early\r\n\r\n"], "no answer within 5 s"),
        ([CHUNKED, b"1\r\nx\r\n"], "no end of the body within 5 s"),
    ],
)
def test_the_timeout_bounds_all_of_it(pieces: list[bytes] | None, reason: str) -> None:
    run = Run(contains="text")
    if pieces is not None:
        run.answer(*pieces)
    run.bench.advance(4.999)
    assert run.found == []
    run.bench.advance(0.001)
    assert run.finding() == failed(reason)


def test_dripping_does_not_move_the_timeout() -> None:
    run = Run()
    wire = run.answer()
    for byte in b"HTTP/1.":
        run.bench.advance(0.7)
        wire.feed(bytes((byte,)))
    run.bench.advance(0.1)
    assert run.finding() == failed("no answer within 5 s")


def test_a_body_that_does_not_count_may_never_end() -> None:
    run = Run()
    run.answer(ENDLESS, b"data")
    assert run.found == []
    run.bench.advance(LINGER_SECONDS)
    assert run.finding() == passed("status 200")


def test_lingering_ends_with_the_timeout() -> None:
    run = Run()
    wire = run.answer()
    run.bench.advance(4.9)
    wire.feed(ENDLESS)
    run.bench.advance(0.1)
    assert run.finding() == passed("status 200")


def test_a_body_that_comes_apart_from_its_head_resets_nobody() -> None:
    run = Run()
    wire = run.answer(OK[:-2])
    assert run.found == [] and not wire.is_closed
    wire.feed(OK[-2:])
    assert run.finding() == passed("status 200")


@pytest.mark.parametrize("size", [LINGER_BYTES - 1, LINGER_BYTES])
def test_what_is_read_of_a_body_that_does_not_count(size: int) -> None:
    run = Run()
    run.answer(ENDLESS, b"x" * size)
    assert bool(run.found) == (size == LINGER_BYTES)
    run.bench.advance(LINGER_SECONDS)
    assert run.finding() == passed("status 200")


def test_what_breaks_after_the_finding_changes_nothing() -> None:
    run = Run()
    run.answer(CHUNKED, b"nonsense\r\n")
    assert run.finding() == passed("status 200")


# -- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        ([OK], passed("body has 'ok'")),
        ([OK[:-1], OK[-1:]], passed("body has 'ok'")),
        ([OK.replace(b"ok", b"no")], failed("body lacks 'ok'")),
        ([b"HTTP/1.1 204 No\r\n\r\n"], failed("body lacks 'ok'")),
        ([CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"], passed("body has 'ok'")),
        ([CHUNKED, b"1\r\no\r\n", b"1\r\nk\r\n", b"0\r\n\r\n"], passed("body has 'ok'")),
        ([CHUNKED, b"2\r\nno\r\n0\r\n", b"\r\n"], failed("body lacks 'ok'")),
        ([CHUNKED, b"2\r\nno\r\n0\r\nSum: ok\r\n\r\n"], failed("body lacks 'ok'")),
        ([CHUNKED, b"zz\r\n"], failed("malformed: malformed chunk size line")),
    ],
)
def test_text_in_bodies(pieces: list[bytes], found: Finding) -> None:
    run = Run(contains="ok")
    run.answer(*pieces)
    assert run.finding() == found


def test_a_body_that_ends_with_its_connection() -> None:
    for body, found in ((b"it is ok", passed("body has 'ok'")), (b"no", failed("body lacks 'ok'"))):
        run = Run(contains="ok")
        run.answer(ENDLESS, body).feed_eof()
        assert run.finding() == found


def test_a_body_that_breaks_off_before_the_text() -> None:
    run = Run(contains="ok")
    run.answer(OK[:-2]).lose()
    assert run.finding() == failed("truncated: closed by the backend")


@pytest.mark.parametrize("at", [SEARCH_BYTES - 2, SEARCH_BYTES - 1])
def test_how_far_a_body_is_searched(at: int) -> None:
    run = Run(contains="ok")
    run.answer(ENDLESS, b"x" * at + b"ok" + b"x")
    run.bench.advance(LINGER_SECONDS)
    is_in = at + 2 <= SEARCH_BYTES
    assert run.finding() == (passed("body has 'ok'") if is_in else failed("beginning of the body lacks 'ok'"))


def test_long_texts_are_cut_in_the_log() -> None:
    assert shorten("a" * 40) == f"'{'a' * 40}'"
    assert shorten("a" * 41) == f"'{'a' * 40}…'"


# -- calling off ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [None, [], [b"HTTP/1.1 200"], [CHUNKED, b"1\r\nx\r\n"]])
@pytest.mark.parametrize("contains", ["", "text"])
def test_called_off_at_any_moment(pieces: list[bytes] | None, contains: str) -> None:
    run = Run(contains=contains)
    if pieces is not None:
        run.answer(*pieces)
    run.probe.cancel()
    run.bench.assert_nothing_left()
    run.bench.advance(100.0)
    assert run.found == []


def test_a_connection_that_comes_too_late_is_closed() -> None:
    run = Run()
    dial = run.dial
    run.probe.cancel()
    assert not dial.is_pending
    dial.is_pending = True  # it was there already when it was called off
    wire = dial.connect()
    assert wire.is_closed and wire.take() == b""
    assert run.found == []


def test_what_the_connection_begins_with_is_the_diallers_matter() -> None:
    run = Run(replace(check(), preface=b"PROXY UNKNOWN\r\n"))
    assert run.bench.prefaces == [b"PROXY UNKNOWN\r\n"]
    run.answer(OK)
    assert run.finding() == passed("status 200")
