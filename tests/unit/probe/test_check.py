"""When two checks are the same, and when one asks the same as the other."""

from __future__ import annotations

from dataclasses import replace

from posthouse.config.specs import CheckSpec
from unit.probe.bench import backend, check


def test_equal_checks() -> None:
    one = backend()
    assert check(one) == check(one)
    assert check(one) != check(backend()), "another backend, though of the same name"
    assert check(one) != check(one, interval=9.0)


def test_pace_is_no_part_of_what_is_asked() -> None:
    one = check(backend())
    assert one.asks_the_same(
        check(one.backend, interval=1.0, down_interval=2.0, timeout=3.0, passes=4, fails=5)
    )
    assert not one.asks_the_same(check(backend()))
    assert not one.asks_the_same(check(one.backend, head=b"GET /other HTTP/1.1\r\n\r\n"))
    assert not one.asks_the_same(check(one.backend, ask=CheckSpec("/h", contains="x")))
    assert not one.asks_the_same(replace(one, endpoint=replace(one.endpoint, port=81)))


def test_credentials_are_not_shown() -> None:
    assert "secret" not in repr(check(head=b"Authorization: secret"))


def test_an_answer_over_other_tls_is_another() -> None:
    one = check(backend())
    assert not one.asks_the_same(replace(one, tls="other"))


def test_an_answer_to_another_beginning_is_another() -> None:
    one = check(backend())
    assert not one.asks_the_same(replace(one, preface=b"PROXY UNKNOWN\r\n"))
