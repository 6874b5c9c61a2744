"""Steps before the route, responders behind it, and internal redirects."""

from __future__ import annotations

from collections.abc import Callable

from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead
from posthouse.proxy.answer import WAIT, Answer, Visit, Wait
from posthouse.proxy.dispatching import MOST_REDIRECTS
from unit.proxy.playbook import Play
from unit.proxy.samples import route, rules

PUT = ("PUT /f HTTP/1.1", "Host: x", "Content-Length: 6")
TO_B = "X-Accel-Redirect: /b/file?q=1"


class Step:
    """A step that does what the test says, and remembers whom it saw."""

    def __init__(self, act: Callable[[Visit], Answer | Wait | None]) -> None:
        self._act = act
        self.seen: list[str] = []

    def act(self, visit: Visit) -> Answer | Wait | None:
        self.seen.append(visit.key)
        return self._act(visit)


def play_with(*steps: Step) -> Play:
    play = Play(route("a"), route("b", base="/b"))
    play.site.steps = steps
    return play


# -- steps -----------------------------------------------------------------------------------------------------


def test_steps_act_in_order_and_the_first_that_answers_is_the_last() -> None:
    first, second = Step(lambda visit: None), Step(lambda visit: Answer(403))
    third = Step(lambda visit: None)
    play = play_with(first, second, third)
    play.request("GET /p HTTP/1.1", "Host: x")
    assert (first.seen, second.seen, third.seen) == (["/p"], ["/p"], [])
    assert play.client.answer.status == b"403 Forbidden"
    assert play.over() == ["403 -"]


def test_a_step_that_retargets_changes_path_query_and_route() -> None:
    seen = Step(lambda visit: None)
    play = play_with(Step(lambda visit: None if visit.retarget(b"/b/%2Fx?y=1") else Answer(500)), seen)
    exchange = play.request("GET /Old?q HTTP/1.1", "Host: x")
    assert seen.seen == ["/b/x"], "matchers see the new path in normal form"
    assert play.connect("b").line == b"GET /b/%2Fx?y=1 HTTP/1.1"
    assert exchange.target == b"/Old?q", "logs keep what the client asked for"
    assert exchange.rewrite_target == b"/b/%2Fx?y=1"
    assert exchange.course.log_key == "/old"


def test_what_is_no_target_changes_nothing() -> None:
    said: list[bool] = []

    def act(visit: Visit) -> None:
        said.extend(
            visit.retarget(raw) for raw in (b"x", b"/a b", b"/%zz", b"/a\r\nb", b"", b"*", b"http://x/")
        )

    play = play_with(Step(act))
    play.request("GET /p HTTP/1.1", "Host: x")
    assert said == [False] * 7
    assert play.connect("a").line == b"GET /p HTTP/1.1"


def test_dot_segments_of_a_new_target_are_resolved() -> None:
    play = play_with(Step(lambda visit: None if visit.retarget(b"/x/../b/y") else Answer(500)))
    play.request()
    assert play.connect("b").line == b"GET /b/y HTTP/1.1"


def test_who_waits_goes_on_where_it_stopped() -> None:
    visits: list[Visit] = []

    def wait(visit: Visit) -> Wait:
        visits.append(visit)
        return WAIT

    after = Step(lambda visit: None)
    play = play_with(Step(wait), after)
    play.request(*PUT, body=b"abc", more=True)
    assert (after.seen, play.dialled()) == ([], [])
    play.client.sends(b"def")
    play.client.ends()
    visits[0].resume(None)
    assert after.seen == ["/f"]
    backend = play.connect("a")
    assert (backend.body, backend.is_complete) == (b"abcdef", True), "what came meanwhile was kept"
    backend.answers()
    assert play.over() == ["200 a"]


def test_who_waits_may_answer_and_a_client_that_left_hears_nothing() -> None:
    for leaves in (False, True):
        visits: list[Visit] = []

        def wait(visit: Visit, visits: list[Visit] = visits) -> Wait:
            visits.append(visit)
            return WAIT

        play = play_with(Step(wait))
        play.request()
        if leaves:
            play.client.leaves()
        assert visits[0].is_finished is leaves
        visits[0].resume(Answer(401))
        assert [answer.status for answer in play.client.answers] == ([] if leaves else [b"401 Unauthorized"])
        assert play.over() == ["499 - client_gone" if leaves else "401 -"]


def test_who_it_is_goes_into_header_rules() -> None:
    play = Play(route("a", header_upstream=rules("X-User {user}")))

    def act(visit: Visit) -> None:
        visit.authenticate("ann")

    play.site.steps = (Step(act),)
    play.request()
    assert b"X-User: ann" in play.connect("a").fields


def test_with_steps_every_request_has_a_course_of_its_own() -> None:
    play = play_with(Step(lambda visit: None))
    head = play.request().head
    play.connect("a").answers()
    assert play.client.memo is None
    play.client.exchange = again = play.plan.begin(play.client, head, play.world.now)
    again.start(b"", True)
    assert play.connect("a").line == b"GET / HTTP/1.1"


def test_after_the_steps_there_may_be_nobody() -> None:
    play = Play(route("a", base="/a"))
    play.site.steps = (Step(lambda visit: None),)
    play.request()
    assert play.over() == ["404 -"]


# -- internal redirects ----------------------------------------------------------------------------------------


def internal(step: Step | None = None) -> Play:
    play = play_with(*([step] if step is not None else []))
    play.site.is_internal = True
    return play


def test_a_backend_sends_the_request_elsewhere() -> None:
    asked = Step(lambda visit: None)
    play = internal(asked)
    play.request("GET /a HTTP/1.1", "Host: x", "Accept: text/css")
    first = play.connect("a")
    first.answers("200 OK", TO_B, "Set-Cookie: lost=1", body=b"not this")
    assert first.kept_of == 64, "its answer was complete: the connection is kept"
    play.world.pass_time(0)
    second = play.connect("b")
    assert second.line == b"GET /b/file?q=1 HTTP/1.1"
    assert b"Accept: text/css" in second.fields
    second.answers("200 OK", "X-From: b", body=b"this")
    answer = play.client.answer
    assert answer.body == b"this"
    assert not any(b"Cookie" in line or b"Accel" in line for line in answer.fields)
    assert asked.seen == ["/a"], "no step is asked again"
    assert play.over() == ["200 b x2"]


def test_a_long_answer_that_redirects_is_cut_not_read() -> None:
    play = internal()
    play.request()
    first = play.connect("a")
    first.answers("200 OK", TO_B, "Content-Length: 9", more=True)
    assert first.state == "closed"
    play.world.pass_time(0)
    play.connect("b").answers(body=b"this")
    assert play.over() == ["200 b x2"]


def test_what_goes_on_is_a_get_without_the_body() -> None:
    play = internal()
    play.request(*PUT, "Content-Type: text/css", body=b"abcdef")
    play.connect("a").answers("200 OK", TO_B)
    play.world.pass_time(0)
    second = play.connect("b")
    assert second.line == b"GET /b/file?q=1 HTTP/1.1"
    assert not any(line.lower().startswith(b"content-") for line in second.fields)
    second.answers()
    assert play.over() == ["200 b x2"]


def test_it_may_lead_to_a_file() -> None:
    """Whoever answers without a route sees a GET for the new path, whatever the client sent."""
    asked: list[tuple[bytes, str, bytes | None]] = []

    class Files:
        def respond(self, visit: Visit, head: RequestHead) -> Answer:
            asked.append((head.method, visit.path, head.fields.value(b"range")))
            return Answer(206, (), b"file")

    play = Play(route("a", base="/put"))
    play.site.is_internal = True
    play.site.responder = Files()
    play.request("POST /put HTTP/1.1", "Host: x", "Content-Length: 2", "Range: bytes=0-3", body=b"ab")
    play.connect("a").answers("200 OK", "X-Accel-Redirect: /Files/x")
    play.world.pass_time(0)
    assert asked == [(b"GET", "/Files/x", b"bytes=0-3")]
    assert play.client.answer.body == b"file"
    assert play.over() == ["206 a"]


class Later:
    """A responder that answers when the test says so."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []

    def respond(self, visit: Visit, head: RequestHead) -> Answer | Wait:
        self.visits.append(visit)
        return WAIT


def test_a_responder_may_answer_later() -> None:
    play, later = Play(), Later()
    play.site.responder = later
    play.request("GET /f HTTP/1.1", "Host: x")
    assert play.recorded.lines == []
    later.visits[0].resume(Answer(200, (), b"at last"))
    assert play.client.answer.body == b"at last"
    assert play.over() == ["200 -"]


def test_a_client_that_leaves_a_responder_who_still_thinks() -> None:
    play, later = Play(), Later()
    play.site.responder = later
    play.request("GET /f HTTP/1.1", "Host: x")
    play.client.leaves()
    assert later.visits[0].is_finished
    later.visits[0].resume(Answer(200, (), b"too late"))
    assert play.over() == ["499 - client_gone"]


def test_a_path_of_its_own_comes_before_the_routes_and_after_the_steps() -> None:
    later, seen = Later(), Step(lambda visit: None)
    play = play_with(seen)
    play.site.responders = {"/b/own": later}
    play.request("GET /B/Own?x HTTP/1.1", "Host: x")
    later.visits[0].resume(Answer(200, (), b"own"))
    assert (seen.seen, play.client.answer.body) == (["/b/own"], b"own")
    play.request("GET /b/own/more HTTP/1.1", "Host: x")
    play.connect("b").answers()
    assert play.over() == ["200 -", "200 b"]


class SlowSource:
    """A body of which a byte is there at a time."""

    length = 9

    def read(self, most: int) -> bytes:
        return b"x"

    def close(self) -> None:
        pass


def test_the_time_of_a_route_ends_where_it_sends_elsewhere() -> None:
    class Files:
        def respond(self, visit: Visit, head: RequestHead) -> Answer:
            return Answer(200, (), SlowSource())

    play = Play(route("a", base="/a", exchange=5.0))
    play.site.is_internal = True
    play.site.responder = Files()
    play.request("GET /a HTTP/1.1", "Host: x")
    play.connect("a").answers("200 OK", "X-Accel-Redirect: /file")
    play.client.stops_reading()
    play.world.pass_time(6)
    play.client.reads_on()
    for _ in range(9):
        play.world.pass_time(0)
    assert play.client.answer.body == b"xxxxxxxxx"
    assert play.over() == ["200 a"]


def test_the_rules_of_the_other_route_see_no_field_of_the_body() -> None:
    play = Play(route("a"), route("b", base="/b", header_upstream=rules("X-New 1")))
    play.site.is_internal = True
    play.request(*PUT, "Content-Type: text/css", body=b"abcdef")
    play.connect("a").answers("200 OK", TO_B)
    play.world.pass_time(0)
    assert not any(line.lower().startswith(b"content-") for line in play.connect("b").fields)


def test_a_client_that_waits_for_its_100_gets_the_last_answer() -> None:
    play = internal()
    play.request(*PUT, "Expect: 100-continue", more=True)
    play.connect("a").answers("200 OK", TO_B)
    play.world.pass_time(0)
    play.connect("b").answers()
    assert not play.client.is_persistent


def test_what_a_file_server_cannot_do_is_in_the_process_log() -> None:
    class Files:
        def respond(self, visit: Visit, head: RequestHead) -> Answer:
            return Answer(404) if visit.path == "/none" else Answer(503, cause="no descriptors")

    play = Play()
    play.site.responder = Files()
    play.request("GET /none HTTP/1.1", "Host: x")
    assert play.world.log.lines == []
    play.request("GET /f HTTP/1.1", "Host: x")
    [(level, what, fields)] = play.world.log.lines
    assert (level, what) == ("error", "file not served")
    assert (fields["uri"], fields["status"], fields["why"]) == ("/f", 503, "no descriptors")
    assert play.over() == ["404 -", "503 -"]


def test_head_stays_head() -> None:
    play = internal()
    play.request("HEAD / HTTP/1.1", "Host: x")
    play.connect("a").answers("200 OK", TO_B)
    play.world.pass_time(0)
    assert play.connect("b").line.startswith(b"HEAD /b/file")


def test_without_internal_the_field_passes() -> None:
    play = play_with()
    play.request()
    play.connect("a").answers("200 OK", TO_B)
    assert TO_B.encode() in play.client.answer.fields


def test_a_circle_ends() -> None:
    play = internal()
    play.request()
    for _ in range(MOST_REDIRECTS):
        play.connect("a").answers("200 OK", "X-Accel-Redirect: /again")
        play.world.pass_time(0)
    play.connect("a").answers("200 OK", "X-Accel-Redirect: /again")
    assert play.client.answer.status == b"502 Bad Gateway"


def test_what_is_no_path_is_the_backends_fault() -> None:
    play = internal()
    play.request()
    play.connect("a").answers("200 OK", "X-Accel-Redirect: http://evil/")
    assert play.over() == ["502 a"]


def test_where_nobody_is() -> None:
    play = Play(route("a", base="/a"))
    play.site.is_internal = True
    play.request("GET /a HTTP/1.1", "Host: x")
    play.connect("a").answers("200 OK", TO_B)
    assert play.over() == ["404 a"]


def test_a_client_that_leaves_on_the_way() -> None:
    play = internal()
    play.request()
    play.connect("a").answers("200 OK", TO_B)
    play.client.leaves()
    play.world.pass_time(1)
    assert play.dialled() == []
    assert play.over() == ["499 a client_gone"]


def test_a_field_of_ours_may_be_checked_for_by_name() -> None:
    assert Field(b"X-Accel-Redirect", b"/x").lower == b"x-accel-redirect"
