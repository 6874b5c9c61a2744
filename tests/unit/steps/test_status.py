from __future__ import annotations

from posthouse.steps.status import Statuses
from unit.steps.fake_visit import FakeVisit


def test_the_longest_path_that_matches_answers() -> None:
    step = Statuses([("/a", 404), ("/a/b", 204), ("/ab", 410)])
    found = {}
    for target in ("/a", "/A/x", "/a/b", "/%61/B/c", "/ab", "/abc", "/b", "/"):
        answer = step.act(FakeVisit(target))
        found[target] = answer and answer.status
    assert found == {
        "/a": 404, "/A/x": 404, "/a/b": 204, "/%61/B/c": 204, "/ab": 410, "/abc": 410, "/b": None, "/": None,
    }  # fmt: skip


def test_what_went_wrong_may_have_a_page_the_rest_has_none() -> None:
    step = Statuses([("/399", 399), ("/400", 400)])
    below, from_there_on = step.act(FakeVisit("/399")), step.act(FakeVisit("/400"))
    assert below is not None and below.body == b""
    assert from_there_on is not None and from_there_on.body is None
