"""Our own responses, files among them, and what `gzip` and `errors` make of responses."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.config.specs import HeaderScopeSpec, LimitsSpec
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead
from posthouse.proxy.answer import Answer, Encoder, Visit
from posthouse.proxy.answering import HELD_BYTES, LEAST_PIECE_BYTES, PIECE_BYTES, piece_bytes
from posthouse.proxy.coding import CODED_PIECE_BYTES
from posthouse.proxy.ports import CODING, NO_BODY, PEER_FULL, SIZED, STREAMED
from unit.proxy.playbook import Play
from unit.proxy.samples import route, rules

HEAD = ("HEAD / HTTP/1.1", "Host: x")


class Text:
    """A source in memory; `ends_at` makes it end early, `breaks_at` makes reading fail there."""

    def __init__(self, data: bytes, length: int | None = None, breaks_at: int = -1) -> None:
        self.data, self.breaks_at = data, breaks_at
        self.length = len(data) if length is None else length
        self.place = self.closed = 0
        self.pieces: list[int] = []

    def read(self, most: int) -> bytes:
        assert not self.closed
        if self.place == self.breaks_at:
            raise OSError("the disk is gone")
        piece = self.data[self.place : self.place + most]
        self.place += len(piece)
        self.pieces.append(len(piece))
        return piece

    def close(self) -> None:
        self.closed += 1


class Files:
    """A responder that always gives the same."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def respond(self, visit: Visit, head: RequestHead) -> Answer:
        return self.answer


class Brackets:
    """A coding: every piece in brackets."""

    def feed(self, data: bytes) -> bytes:
        return b"[" + data + b"]"

    def finish(self, data: bytes = b"") -> bytes:
        return (self.feed(data) if data else b"") + b"."


class Coding:
    """`gzip` for every path."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def find(self, key: str) -> Coding:
        return self

    def begin(
        self, head: RequestHead, status: int, fields: list[Field], length: int
    ) -> tuple[list[Field], Encoder | None]:
        self.asked.append((status, length))
        if status == 206:
            return fields, None
        return [*fields, Field(b"Content-Encoding", b"brackets")], Brackets()


class Pages:
    """`errors` with a page for 404."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, str]] = []

    def body(self, status: int, path: str, cause: str) -> tuple[bytes, bytes] | None:
        return (b"text/html", b"<p>lost") if status == 404 else None

    def log(self, status: int, path: str, cause: str) -> None:
        self.lines.append((status, path, cause))


def files(answer: Answer, **site: Any) -> Play:
    play = Play(**site)
    play.site.responder = Files(answer)
    return play


# -- sources ---------------------------------------------------------------------------------------------------


def test_a_short_file_is_one_write() -> None:
    source = Text(b"abc")
    play = files(Answer(200, (Field(b"Content-Type", b"text/css"),), source))
    play.request()
    answer = play.client.answer
    assert (answer.status, answer.mode, answer.body, answer.is_complete) == (b"200 OK", SIZED, b"abc", True)
    assert answer.fields[0] == b"Server: Posthouse"
    assert answer.fields[-2:] == [b"Content-Type: text/css", b"Content-Length: 3"]
    assert source.closed == 1
    assert play.over() == ["200 -"]


def test_a_long_file_goes_piece_by_piece_one_in_a_turn() -> None:
    source = Text(bytes(PIECE_BYTES) + b"end")
    play = files(Answer(200, (), source))
    play.request()
    assert source.pieces == [PIECE_BYTES]
    assert not play.client.answer.is_complete
    play.world.pass_time(0)
    assert source.pieces == [PIECE_BYTES, 3]
    assert play.client.answer.body == source.data
    assert (source.closed, play.world.sources) == (1, 0)
    assert play.over() == ["200 -"]


def test_pieces_are_smaller_while_many_read_slowly() -> None:
    most = HELD_BYTES // PIECE_BYTES
    assert piece_bytes(0) == piece_bytes(most) == PIECE_BYTES
    assert LEAST_PIECE_BYTES < piece_bytes(most + 1) < PIECE_BYTES
    assert piece_bytes(100_000) == LEAST_PIECE_BYTES
    assert sum(map(piece_bytes, range(500))) < 4 * HELD_BYTES
    source = Text(bytes(2 * PIECE_BYTES))
    play = files(Answer(200, (), source))
    play.world.full_clients = 100_000
    play.request()
    assert (source.pieces, play.world.sources) == ([LEAST_PIECE_BYTES], 1)
    play.world.full_clients, play.world.sources = 0, most + 1
    play.world.pass_time(0)
    assert source.pieces[:2] == [LEAST_PIECE_BYTES, piece_bytes(most + 1)]


def test_nothing_is_read_while_the_client_takes_nothing() -> None:
    source = Text(bytes(3 * PIECE_BYTES))
    play = files(Answer(200, (), source))
    exchange = play.request()
    play.client.is_full = True
    exchange.on_downstream_full()
    play.world.pass_time(1)
    assert len(source.pieces) == 1
    assert play.client.stall_limit == 300.0 + play.world.now - 1
    play.client.is_full = False
    exchange.on_downstream_ready()
    exchange.on_downstream_ready()
    play.world.pass_time(0)
    assert play.client.answer.is_complete
    assert play.over() == ["200 -"]


def test_a_client_that_leaves_gives_the_file_back() -> None:
    source = Text(bytes(3 * PIECE_BYTES))
    play = files(Answer(200, (), source))
    play.request()
    play.client.leaves()
    assert source.closed == 1
    play.world.pass_time(1)
    assert len(source.pieces) == 1
    assert play.over() == ["200 - client_gone"]


def test_a_file_that_ends_early_or_breaks_is_shown_as_cut() -> None:
    whole = bytes(PIECE_BYTES + 5)
    for source in (Text(bytes(PIECE_BYTES), len(whole)), Text(whole, breaks_at=PIECE_BYTES)):
        play = files(Answer(200, (), source))
        play.request()
        play.world.pass_time(0)
        assert play.client.answer.is_cut
        assert not play.client.answer.is_complete
        assert source.closed == 1
        assert play.world.log.lines[0][1] == "file ended early"


def test_a_file_that_cannot_be_read_at_all_is_an_error_that_can_still_be_told() -> None:
    source = Text(b"abc", breaks_at=0)
    play = files(Answer(200, (Field(b"ETag", b'"a"'),), source))
    play.request()
    assert play.client.answer.status == b"500 Internal Server Error"
    assert b'ETag: "a"' not in play.client.answer.fields
    assert source.closed == 1
    assert play.over() == ["500 -"]


def test_head_opens_and_closes_but_reads_nothing() -> None:
    source = Text(b"abc")
    play = files(Answer(200, (), source))
    play.request(*HEAD)
    answer = play.client.answer
    assert (answer.mode, answer.fields[-1], source.pieces, source.closed) == (
        NO_BODY,
        b"Content-Length: 3",
        [],
        1,
    )
    assert play.over() == ["200 -"]


def test_an_empty_file() -> None:
    source = Text(b"")
    play = files(Answer(200, (), source))
    play.request()
    assert (play.client.answer.mode, play.client.answer.body, source.closed) == (SIZED, b"", 1)
    assert play.over() == ["200 -"]


def test_not_modified_has_neither_length_nor_body() -> None:
    play = files(Answer(304, (Field(b"ETag", b'"a"'),), b""))
    play.request()
    answer = play.client.answer
    assert (answer.mode, answer.fields[-1], answer.body) == (NO_BODY, b'ETag: "a"', b"")


def test_header_rules_act_on_files() -> None:
    scope = HeaderScopeSpec("/", rules("-Server", "X-One 1"))
    play = files(Answer(200, (), Text(b"abc")), headers=(scope,))
    play.request()
    names = [line.split(b":")[0] for line in play.client.answer.fields]
    assert names == [b"Date", b"X-One", b"Content-Length"]


# -- coding ----------------------------------------------------------------------------------------------------


def coded(*routes: Any) -> tuple[Play, Coding]:
    play, coding = Play(*routes), Coding()
    play.site.compressions = coding
    return play, coding


def test_a_response_is_coded_as_it_comes() -> None:
    play, coding = coded(route("a"))
    play.request()
    backend = play.connect("a")
    backend.answers("200 OK", "Content-Length: 4", body=b"on", more=True)
    answer = play.client.answer
    assert (answer.mode, answer.body) == (STREAMED, b"[on]")
    assert b"Content-Encoding: brackets" in answer.fields
    backend.sends(b"ce")
    backend.ends()
    assert (answer.body, answer.is_complete) == (b"[on][ce].", True)
    assert coding.asked == [(200, 4)]
    assert play.over() == ["200 a"]


def test_a_response_that_came_whole_is_coded_whole() -> None:
    play, _ = coded(route("a"))
    play.request()
    play.connect("a").answers(body=b"all")
    answer = play.client.answer
    assert (answer.mode, answer.body, answer.fields[-1]) == (SIZED, b"[all].", b"Content-Length: 6")
    assert play.over() == ["200 a"]


def test_head_gets_the_fields_of_get_and_no_length() -> None:
    play, _ = coded(route("a"))
    play.request(*HEAD)
    play.connect("a").answers(body=b"all")
    answer = play.client.answer
    assert answer.mode == NO_BODY
    assert b"Content-Encoding: brackets" in answer.fields
    assert not any(line.startswith(b"Content-Length") for line in answer.fields)


def test_what_is_not_coded_keeps_its_length() -> None:
    play, _ = coded(route("a"))
    play.request()
    play.connect("a").answers("206 Partial Content", body=b"all")
    assert (play.client.answer.mode, play.client.answer.body) == (SIZED, b"all")


def test_our_own_answers_are_coded_too() -> None:
    play, coding = coded()
    play.request()
    answer = play.client.answer
    assert (answer.status, answer.body, answer.mode) == (b"404 Not Found", b"[404 Not Found\n].", SIZED)
    assert answer.fields[-1] == b"Content-Length: %d" % len(answer.body)
    assert coding.asked == [(404, 14)]


def test_files_are_coded_in_small_pieces() -> None:
    play, _ = coded()
    source = Text(bytes(CODED_PIECE_BYTES + 1))
    play.site.responder = Files(Answer(200, (), source))
    play.request()
    play.world.pass_time(0)
    answer = play.client.answer
    assert source.pieces == [CODED_PIECE_BYTES, 1]
    assert answer.mode == STREAMED
    assert answer.body == b"[" + bytes(CODED_PIECE_BYTES) + b"][\0]."
    assert answer.is_complete


def test_a_file_of_one_piece_is_coded_with_its_length() -> None:
    play, _ = coded()
    play.site.responder = Files(Answer(200, (), Text(b"abc")))
    play.request()
    answer = play.client.answer
    assert (answer.mode, answer.body, answer.fields[-1]) == (SIZED, b"[abc].", b"Content-Length: 6")
    assert play.over() == ["200 -"]


def test_a_long_body_of_our_own_is_coded_like_a_file() -> None:
    play, _ = coded()
    play.site.responder = Files(Answer(200, (), b"a" * CODED_PIECE_BYTES + b"b"))
    play.request()
    answer = play.client.answer
    assert (answer.mode, answer.body) == (STREAMED, b"[" + b"a" * CODED_PIECE_BYTES + b"]")
    play.world.pass_time(0)
    assert answer.body.endswith(b"][b].")
    assert answer.is_complete
    assert play.over() == ["200 -"]


def test_head_of_a_long_body_of_our_own_says_no_length() -> None:
    play, _ = coded()
    play.site.responder = Files(Answer(200, (), b"a" * (CODED_PIECE_BYTES + 1)))
    play.request(*HEAD)
    assert (play.client.answer.mode, play.client.answer.fields[-1]) == (
        NO_BODY,
        b"Content-Encoding: brackets",
    )
    assert play.over() == ["200 -"]


# -- a backend's long bodies, coded in turns ---------------------------------------------------------------------

PIECE = CODED_PIECE_BYTES
LONG = b"a" * PIECE + b"b" * PIECE + b"c"


def brackets(*pieces: bytes) -> bytes:
    return b"".join(b"[" + piece + b"]" for piece in pieces)


def begun(body: bytes) -> tuple[Play, Any]:
    """A coded response of unknown length has begun."""
    play, _ = coded(route("a"))
    play.request()
    backend = play.connect("a")
    backend.answers(body=body, more=True)
    return play, backend


def test_a_long_read_is_coded_one_piece_in_a_turn_and_the_backend_waits() -> None:
    play, backend = begun(b"")
    backend.sends(LONG)
    answer = play.client.answer
    assert answer.body == brackets(LONG[:PIECE])
    assert backend.blocked == {CODING}
    play.world.pass_time(0)
    assert answer.body == brackets(LONG[:PIECE], LONG[PIECE : 2 * PIECE], b"c")
    assert backend.blocked == set()
    backend.sends(b"d")
    backend.ends()
    assert answer.body.endswith(b"[c][d].")
    assert answer.is_complete
    assert play.over() == ["200 a"]


def test_a_long_read_may_come_with_the_head() -> None:
    play, backend = begun(LONG)
    assert play.client.answer.body == brackets(LONG[:PIECE])
    assert backend.blocked == {CODING}
    play.world.pass_time(0)
    backend.ends()
    assert play.client.answer.body == brackets(LONG[:PIECE], LONG[PIECE : 2 * PIECE], b"c") + b"."
    assert play.over() == ["200 a"]


def test_the_end_waits_until_everything_is_coded_but_the_backend_is_free() -> None:
    play, backend = begun(LONG)
    trailers = [Field(b"X-Sum", b"1"), Field(b"Content-Digest", b"sha-256=:x:"), Field(b"ETag", b'"a"')]
    backend.ends(*trailers)
    assert (backend.state, play.client.answer.is_complete) == ("released", False)
    play.world.pass_time(0)
    assert play.client.answer.is_complete
    assert play.client.answer.body.endswith(b"[c].")
    assert play.client.answer.trailers == trailers[:1], "what was said of the plain form is gone"
    assert play.over() == ["200 a"]


def test_a_long_response_that_came_whole() -> None:
    play, _ = coded(route("a"))
    play.request()
    backend = play.connect("a")
    backend.answers(body=LONG)
    assert (backend.state, play.client.answer.mode) == ("released", STREAMED)
    play.world.pass_time(0)
    assert play.client.answer.body == brackets(LONG[:PIECE], LONG[PIECE : 2 * PIECE]) + b"[c]."
    assert play.over() == ["200 a"]


def test_a_response_that_came_whole_and_announces_trailers_is_streamed() -> None:
    play, _ = coded(route("a"))
    play.request()
    play.connect("a").answers(
        "200 OK", "Transfer-Encoding: chunked", "Trailer: X", "content-length-is: no", body=b"all"
    )
    answer = play.client.answer
    assert (answer.mode, answer.body, answer.is_complete) == (STREAMED, b"[all].", True)
    assert play.over() == ["200 a"]


def test_nothing_is_coded_while_the_client_takes_nothing() -> None:
    play, backend = begun(b"")
    play.client.stops_reading()
    backend.sends(LONG)  # it was on its way
    assert play.client.answer.body == brackets(LONG[:PIECE])
    assert backend.blocked == {CODING, PEER_FULL}
    play.world.pass_time(1)
    assert play.client.answer.body == brackets(LONG[:PIECE])
    play.client.reads_on()
    assert backend.blocked == {CODING}, "it is not read from before the rest is coded"
    play.world.pass_time(0)
    assert play.client.answer.body.endswith(b"[c]")
    assert backend.blocked == set()
    backend.ends()
    assert play.over() == ["200 a"]


def test_a_client_that_fills_up_between_turns_gets_no_more() -> None:
    play, backend = begun(LONG)
    play.client.stops_reading()
    play.world.pass_time(1)
    assert play.client.answer.body == brackets(LONG[:PIECE])
    play.client.reads_on()
    play.world.pass_time(0)
    assert play.client.answer.body.endswith(b"[c]")
    backend.ends()
    assert play.over() == ["200 a"]


def test_what_was_on_its_way_waits_for_its_turn() -> None:
    play, backend = begun(LONG)
    backend.sends(b"d")
    assert play.client.answer.body == brackets(LONG[:PIECE])
    play.world.pass_time(0)
    assert play.client.answer.body.endswith(b"[cd]")
    backend.ends()
    assert play.over() == ["200 a"]


def test_a_client_that_turns_out_to_be_gone_ends_the_coding(monkeypatch: pytest.MonkeyPatch) -> None:
    play, backend = begun(b"")
    monkeypatch.setattr(play.client, "send_body", lambda data: play.client.leaves())
    backend.sends(LONG)
    assert play.over() == ["200 a client_gone"]


def test_a_backend_that_breaks_off_leaves_no_end_of_the_coding() -> None:
    play, backend = begun(LONG)
    backend.breaks()
    play.world.pass_time(1)
    answer = play.client.answer
    assert (answer.is_cut, answer.is_complete, answer.body) == (True, False, brackets(LONG[:PIECE]))
    assert play.over() == ["200 a reset"]


def test_a_client_that_leaves_ends_the_coding() -> None:
    for is_ended in (False, True):
        play, backend = begun(LONG)
        if is_ended:
            backend.ends()
        play.client.leaves()
        play.world.pass_time(1)
        assert play.client.answer.body == brackets(LONG[:PIECE])
        assert play.over() == ["200 a client_gone"]


def test_head_is_judged_by_the_length_that_get_would_have() -> None:
    play, coding = coded(route("a"))
    play.request(*HEAD)
    play.connect("a").answers("200 OK", "Content-Length: 700", body=b"")
    assert coding.asked == [(200, 700)]


# -- pages -----------------------------------------------------------------------------------------------------


def paged(*routes: Any) -> tuple[Play, Pages]:
    play, pages = Play(*routes), Pages()
    play.site.errors = pages
    return play, pages


def test_a_page_takes_the_place_of_the_text() -> None:
    play, pages = paged()
    play.request()
    answer = play.client.answer
    assert (answer.status, answer.body) == (b"404 Not Found", b"<p>lost")
    nosniff = b"X-Content-Type-Options: nosniff"
    assert answer.fields[-3:] == [b"Content-Type: text/html", nosniff, b"Content-Length: 7"]
    assert pages.lines == [], "that nothing is there is no error of ours"


def test_a_failure_is_logged_with_its_cause() -> None:
    play, pages = paged(route("a"))
    play.request("GET /p HTTP/1.1", "Host: x")
    play.refuse("a")
    assert play.client.answer.body == b"502 Bad Gateway\n", "there is no page for 502"
    assert pages.lines == [(502, "/p", "http://a: connect: test")]


def test_a_body_over_its_limit_is_logged_however_it_is_announced() -> None:
    for framing, body in (("Content-Length: 9", b""), ("Transfer-Encoding: chunked", b"123456789")):
        play = Play(route("a"), limits=LimitsSpec(body=(("/", 8),)))
        pages = play.site.errors = Pages()
        play.request("POST /p HTTP/1.1", "Host: x", framing, body=body, more=True)
        assert play.client.answer.status == b"413 Request Entity Too Large"
        assert pages.lines == [(413, "/p", "limits body")]


def test_a_backends_own_404_passes() -> None:
    play, pages = paged(route("a"))
    play.request()
    play.connect("a").answers("404 Not Found", body=b"mine")
    assert play.client.answer.body == b"mine"
    assert pages.lines == []


def test_a_body_of_its_own_is_not_replaced() -> None:
    play, _ = paged()
    play.site.responder = Files(Answer(404, (), b"own"))
    play.request()
    assert play.client.answer.body == b"own"


# -- cookies of sessions -------------------------------------------------------------------------------------------


def cookies(lines: bytes) -> list[bytes]:
    return [line for line in lines.split(b"\r\n") if line.startswith(b"Set-Cookie: ")]


@pytest.mark.parametrize("policy", ["sticky", "random"])
@pytest.mark.parametrize(
    "lines",
    [
        ("200 OK",),
        ("200 OK", "Transfer-Encoding: chunked"),
        ("204 No Content",),
        ("404 Not Found", "Set-Cookie: own=1"),
    ],
)
def test_a_session_adds_its_cookie_to_what_a_backend_answers(policy: str, lines: tuple[str, ...]) -> None:
    play = Play(route("a", policy=policy, header_downstream=rules("-Set-Cookie")))
    sessions = play.routes[0].pool.sessions
    if sessions is not None:
        sessions.use_key(b"k" * 32)
    play.request()
    play.connect().answers(*lines, body=None if "chunked" in lines[-1] else b"")
    found = cookies(play.client.answer.lines)
    assert len(found) == (policy == "sticky")
    assert all(line.startswith(b"Set-Cookie: posthouse=") for line in found), "rules act on the backend's"


def test_our_own_answers_begin_no_session() -> None:
    play = Play(route("a", policy="sticky"))
    sessions = play.routes[0].pool.sessions
    assert sessions is not None
    sessions.use_key(b"k" * 32)
    play.request()
    play.refuse()
    assert play.client.answer.status == b"502 Bad Gateway"
    assert cookies(play.client.answer.lines) == []
