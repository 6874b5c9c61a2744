"""Slow passwords are checked in threads, so many at a time, so many of one client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from posthouse.server.password_checks import THREADS, WAITING, WAITING_OF_ONE, PasswordChecks
from unit.server.fakes import until


def wanted() -> bool:
    return True


@pytest.fixture
def checks(loop: asyncio.AbstractEventLoop) -> Iterator[PasswordChecks]:
    made = PasswordChecks(loop)
    yield made
    made.close()


def test_the_result_comes_in_the_loop_and_the_check_ran_elsewhere(
    loop: asyncio.AbstractEventLoop, checks: PasswordChecks
) -> None:
    ran: list[threading.Thread] = []
    done: list[tuple[bool, threading.Thread]] = []

    def check() -> bool:
        ran.append(threading.current_thread())
        return True

    assert checks.submit(
        "a", check, lambda is_right: done.append((is_right, threading.current_thread())), wanted
    )
    assert checks.submit(
        "a", lambda: False, lambda is_right: done.append((is_right, threading.current_thread())), wanted
    )
    assert done == [], "never before the caller has gone on"
    loop.run_until_complete(until(lambda: len(done) == 2))
    assert {one for one, _ in done} == {True, False}
    assert {thread for _, thread in done} == {threading.current_thread()}
    assert ran[0] is not threading.current_thread()
    assert repr(checks) == "<PasswordChecks waiting=0 clients=0>"


def test_so_many_of_one_client_and_so_many_in_all(
    loop: asyncio.AbstractEventLoop, checks: PasswordChecks
) -> None:
    may_go = threading.Event()
    running: list[int] = []
    done: list[bool] = []

    def check() -> bool:
        running.append(1)
        return may_go.wait(30)

    try:
        clients = WAITING // WAITING_OF_ONE
        for client in range(clients):
            taken = [
                checks.submit(f"client {client}", check, done.append, wanted) for _ in range(WAITING_OF_ONE)
            ]
            assert all(taken)
            if client < clients - 1:
                assert not checks.submit(f"client {client}", check, done.append, wanted)
        assert not checks.submit("another", check, done.append, wanted)
        loop.run_until_complete(until(lambda: len(running) >= THREADS))
        assert len(running) == THREADS
    finally:
        may_go.set()
    loop.run_until_complete(until(lambda: len(done) == WAITING))
    assert all(done)
    assert checks.submit("client 0", lambda: True, done.append, wanted), "there is room again"
    loop.run_until_complete(until(lambda: len(done) == WAITING + 1))


def test_a_check_that_raises_lets_nobody_in_and_is_told(
    loop: asyncio.AbstractEventLoop, checks: PasswordChecks
) -> None:
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
    done: list[bool] = []
    bug = RuntimeError("bug")

    def check() -> bool:
        raise bug

    assert checks.submit("a", check, done.append, wanted)
    loop.run_until_complete(until(lambda: told))
    assert (done, told) == ([False], [bug])
    assert repr(checks) == "<PasswordChecks waiting=0 clients=0>"


def test_no_thread_before_the_first_check(checks: PasswordChecks) -> None:
    assert checks._threads is None
    checks.close()


def test_what_has_not_begun_is_dropped_at_the_end(loop: asyncio.AbstractEventLoop) -> None:
    checks = PasswordChecks(loop)
    may_go = threading.Event()
    running: list[int] = []
    done: list[bool] = []

    def check() -> bool:
        running.append(1)
        return may_go.wait(30)

    for _ in range(THREADS + 3):
        checks.submit("a", check, done.append, wanted)
    loop.run_until_complete(until(lambda: len(running) == THREADS))
    checks.close()
    may_go.set()
    loop.run_until_complete(until(lambda: len(done) == THREADS + 3))
    assert sorted(done) == [False] * 3 + [True] * THREADS
    assert len(running) == THREADS


def test_who_has_left_keeps_no_place(loop: asyncio.AbstractEventLoop, checks: PasswordChecks) -> None:
    may_go = threading.Event()
    running: list[str] = []
    done: list[tuple[str, bool]] = []
    left: set[str] = set()

    def submit(client: str, name: str) -> bool:
        def check() -> bool:
            running.append(name)
            return may_go.wait(30)

        return checks.submit(
            client, check, lambda is_right: done.append((name, is_right)), lambda: name not in left
        )

    try:
        for number in range(WAITING_OF_ONE):
            assert submit("a", f"{number}")
        assert not submit("a", "16") and done == []
        left |= {"0", "5", "6"}
        assert submit("a", "17") and done == [("5", False), ("6", False)], "the one that runs goes on"
        assert submit("a", "18") and not submit("a", "19")
        left.add("7")
    finally:
        may_go.set()
    loop.run_until_complete(until(lambda: len(done) == WAITING_OF_ONE + 2))
    assert {name for name, is_right in done if not is_right} == {"5", "6", "7"}
    assert not {"5", "6", "7"} & set(running)
    assert repr(checks) == "<PasswordChecks waiting=0 clients=0>"
