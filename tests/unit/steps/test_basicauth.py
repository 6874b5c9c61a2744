"""Who is let in, and what that costs whom. Slow checks run when the test says so."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.proxy.answer import WAIT, Answer, Wait
from posthouse.steps.basicauth import (
    MOST_BYTES,
    REMEMBERED,
    REMEMBERED_SECONDS,
    BasicAuth,
    Remembered,
    Rule,
    credentials,
)
from posthouse.steps.passwords import Password, Plain
from unit.steps.fake_visit import FakeVisit


class Slow:
    """A password that is slow to check; asked: what was tried."""

    def __init__(self, text: str, cost: int = 16) -> None:
        self.cost = cost
        self._text = text.encode()
        self.asked: list[bytes] = []

    def matches(self, given: bytes) -> bool:
        self.asked.append(given)
        return given == self._text


class Checks:
    """Keeps what is to be checked until the test runs it; full: takes nothing."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Callable[[], bool], Callable[[bool], None], Callable[[], bool]]] = []
        self.is_full = False

    def submit(
        self,
        client: str,
        check: Callable[[], bool],
        done: Callable[[bool], None],
        is_wanted: Callable[[], bool],
    ) -> bool:
        if not self.is_full:
            self.waiting.append((client, check, done, is_wanted))
        return not self.is_full

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, check, done, is_wanted in waiting:
            done(is_wanted() and check())


class Door:
    """A site with `basicauth` lines: (path, user, password, realm)."""

    def __init__(self, *rules: tuple[str, str, Password, str]) -> None:
        self.checks = Checks()
        self.now = 100.0
        self.remembered = Remembered(b"k" * 32, lambda: self.now)
        self.step = BasicAuth(
            [Rule([path], user, password, realm) for path, user, password, realm in rules],
            self.checks,
            self.remembered,
        )

    def ask(
        self, user: str = "", password: str = "", target: str = "/"
    ) -> tuple[FakeVisit, Answer | Wait | None]:
        visit = FakeVisit(target, {"Authorization": basic(f"{user}:{password}")} if user else {})
        return visit, self.step.act(visit)

    def result(self, user: str = "", password: str = "", target: str = "/") -> str | int:
        """The user who was let in, or the status."""
        visit, answer = self.ask(user, password, target)
        if isinstance(answer, Wait):
            self.checks.run()
            (answer,) = visit.resumed
        return visit.user if answer is None else answer.status


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def challenge(answer: Any) -> bytes:
    (field,) = answer.fields
    assert field.name == b"WWW-Authenticate"
    value: bytes = field.value
    return value


def test_the_right_password_and_no_other() -> None:
    door = Door(("/secret", "Bob", Plain("hiccup"), "Restricted"))
    assert door.result("Bob", "hiccup", "/secret/x") == "Bob"
    for user, password in (("Bob", "Hiccup"), ("bob", "hiccup"), ("Bob", ""), ("Ann", "hiccup"), ("", "")):
        assert door.result(user, password, "/secret/x") == 401


def test_only_its_paths_ask_in_any_spelling() -> None:
    door = Door(("/secret", "Bob", Plain("hiccup"), "Restricted"))
    for target in ("/", "/sec", "/x/secret", "/open"):
        assert door.result(target=target) == ""
    for target in ("/secret", "/SECRET", "/secretx", "/%73ecret", "//secret", "/x/../secret"):
        assert door.result(target=target) == 401


def test_of_the_rules_that_match_any_one_lets_in() -> None:
    door = Door(("/", "Ann", Plain("a"), "All"), ("/b", "Bob", Plain("b"), "Bob's"))
    assert door.result("Ann", "a", "/b") == "Ann"
    assert door.result("Bob", "b", "/b") == "Bob"
    assert door.result("Bob", "b", "/") == 401
    assert door.result("Ann", "b", "/b") == 401


def test_one_user_with_two_passwords() -> None:
    door = Door(("/", "Ann", Plain("a"), "R"), ("/", "Ann", Slow("b"), "R"))
    assert door.result("Ann", "a") == door.result("Ann", "b") == "Ann"
    assert door.result("Ann", "c") == 401


def test_the_challenge_is_that_of_the_last_rule_that_matches() -> None:
    door = Door(("/", "Ann", Plain("a"), "All"), ("/b", "Bob", Plain("b"), "Bob's \"\\ü"))
    assert challenge(door.ask(target="/")[1]) == b'Basic realm="All", charset="UTF-8"'
    assert (
        challenge(door.ask(target="/b")[1])
        == b'Basic realm="Bob\'s \\"\\\\' + "ü".encode() + b'", charset="UTF-8"'
    )


def test_only_a_wrong_password_is_worth_a_line_in_the_error_log_and_without_names() -> None:
    door = Door(("/", "Ann", Plain("a"), "R"))
    _, unasked = door.ask()
    _, wrong = door.ask("hunter2", "hunter3")
    assert isinstance(unasked, Answer) and unasked.cause == ""
    assert isinstance(wrong, Answer) and wrong.cause and "hunter" not in wrong.cause


def test_what_is_slow_is_checked_elsewhere_and_remembered() -> None:
    password = Slow("hiccup")
    door = Door(("/", "Bob", password, "R"))
    visit, answer = door.ask("Bob", "hiccup")
    assert answer is WAIT and password.asked == [] and visit.user == ""
    assert [client for client, *_ in door.checks.waiting] == [visit.client_ip]
    door.checks.run()
    assert (visit.resumed, visit.user) == ([None], "Bob")
    visit, answer = door.ask("Bob", "hiccup")
    assert (answer, visit.user, password.asked) == (None, "Bob", [b"hiccup"])


def test_what_was_wrong_is_not_remembered() -> None:
    password = Slow("hiccup")
    door = Door(("/", "Bob", password, "R"))
    assert door.result("Bob", "no") == door.result("Bob", "no") == 401
    assert password.asked == [b"no", b"no"]
    assert len(door.remembered) == 0


def test_it_is_remembered_for_a_while() -> None:
    password = Slow("hiccup")
    door = Door(("/", "Bob", password, "R"))
    assert door.result("Bob", "hiccup") == "Bob"
    door.now += REMEMBERED_SECONDS - 0.1
    assert door.ask("Bob", "hiccup")[1] is None
    door.now += 0.2
    assert door.ask("Bob", "hiccup")[1] is WAIT
    assert len(door.remembered) == 0


def test_being_right_at_one_path_says_nothing_of_another() -> None:
    door = Door(("/a", "Bob", Slow("one"), "R"), ("/b", "Bob", Slow("two"), "R"))
    assert door.result("Bob", "one", "/a") == "Bob"
    assert door.result("Bob", "one", "/b") == 401


def test_equal_requests_wait_for_one_check() -> None:
    password = Slow("hiccup")
    door = Door(("/", "Bob", password, "R"))
    visits = [door.ask("Bob", "hiccup")[0] for _ in range(6)]
    other, _ = door.ask("Bob", "else")
    assert len(door.checks.waiting) == 2
    visits[3].is_finished = True
    door.checks.run()
    assert [one.resumed for one in visits] == [[None]] * 3 + [[]] + [[None]] * 2
    assert isinstance(other.resumed[0], Answer)
    assert password.asked == [b"hiccup", b"else"]


def test_for_nobody_nothing_is_checked() -> None:
    password = Slow("hiccup")
    door = Door(("/", "Bob", password, "R"))
    visit, _ = door.ask("Bob", "hiccup")
    visit.is_finished = True
    door.checks.run()
    assert (password.asked, visit.resumed, len(door.remembered)) == ([], [], 0)
    assert door.result("Bob", "hiccup") == "Bob"


def test_where_too_many_wait_the_answer_is_later() -> None:
    door = Door(("/", "Bob", Slow("hiccup"), "R"))
    door.checks.is_full = True
    _, answer = door.ask("Bob", "hiccup")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.fields[0].wire) == (503, b"Retry-After: 1\r\n")
    door.checks.is_full = False
    assert door.result("Bob", "hiccup") == "Bob"


@pytest.mark.parametrize("user", ["Nobody", "Ann"])
def test_a_name_that_is_not_there_costs_what_a_wrong_password_costs(user: str) -> None:
    """Ann's is quick to check: that must not show either."""
    password = Slow("hiccup")
    door = Door(("/", "Bob", password, "R"), ("/", "Ann", Plain("a"), "R"))
    assert door.result(user, "hiccup") == 401, "the decoy is another user's password: it never lets in"
    assert password.asked == [b"hiccup"]
    assert door.result(user, "hiccup") == 401
    assert len(door.remembered) == 0


@pytest.mark.parametrize(("user", "asked"), [("Nobody", (0, 1)), ("Cheap", (1, 1)), ("Dear", (0, 1))])
def test_nor_does_it_show_whose_password_is_dearer(user: str, asked: tuple[int, int]) -> None:
    cheap, dear = Slow("cheap", 1), Slow("dear", 1024)
    door = Door(("/", "Cheap", cheap, "R"), ("/", "Dear", dear, "R"))
    assert door.result(user, "wrong") == 401
    assert (len(cheap.asked), len(dear.asked)) == asked
    assert door.result("Cheap", "cheap") == "Cheap"
    assert door.result("Cheap", "dear") == 401


def test_the_oldest_is_forgotten_for_a_new_one() -> None:
    door = Door()
    digests = [door.remembered.digest(b"%d" % number) for number in range(REMEMBERED + 1)]
    for digest in digests:
        door.remembered.add(digest)
    assert len(door.remembered) == REMEMBERED
    assert not door.remembered.holds(digests[0]) and door.remembered.holds(digests[1])
    door.remembered.add(digests[1])
    door.remembered.add(digests[0])
    assert door.remembered.holds(digests[1]) and not door.remembered.holds(digests[2])


def test_a_digest_tells_nothing_without_the_key() -> None:
    one, other = (Remembered(key * 32, lambda: 0.0).digest(b"x") for key in (b"a", b"b"))
    assert one != other and len(one) == 32


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (basic("a:b"), (b"a", b"b")),
        (basic("a:b:c"), (b"a", b"b:c")),
        (basic(":"), (b"", b"")),
        (basic("ü:ö"), ("ü".encode(), "ö".encode())),
        ("basic   YTpi ", (b"a", b"b")),
        ("BASIC YTpi", (b"a", b"b")),
        (basic("a" * (MOST_BYTES - 1) + ":"), (b"a" * (MOST_BYTES - 1), b"")),
        (basic("a" * MOST_BYTES + ":"), None),
        (basic("ab"), None),
        ("Basic", None),
        ("Basic !!!", None),
        ("Basic YTp", None),
        ("Basic YTpi,Basic YTpi", None),
        ("Bearer YTpi", None),
        ("YTpi", None),
        ("", None),
    ],
)
def test_credentials(field: str, expected: tuple[bytes, bytes] | None) -> None:
    assert credentials(field.encode()) == expected


def test_no_field_no_credentials() -> None:
    assert credentials(None) is None


@given(st.binary(max_size=60))
def test_credentials_of_anything(field: bytes) -> None:
    for value in (field, b"Basic " + field, b"Basic " + base64.b64encode(field)):
        found = credentials(value)
        assert found is None or b":" not in found[0]


@given(st.binary(max_size=30))
def test_nothing_but_the_password_opens(given_: bytes) -> None:
    door = Door(("/", "Bob", Plain("hiccup"), "R"), ("/", "Ann", Slow("slow"), "R"))
    visit = FakeVisit("/")
    visit.fields = {b"authorization": b"Basic " + base64.b64encode(given_)}
    answer = door.step.act(visit)
    if isinstance(answer, Wait):
        door.checks.run()
        (answer,) = visit.resumed
    assert (answer is None) is (given_ in (b"Bob:hiccup", b"Ann:slow"))


def test_the_repr_shows_no_secret() -> None:
    door = Door(("/", "Bob", Plain("hiccup"), "R"))
    assert "hiccup" not in repr(door.step) + repr(door.step._rules)
