"""Processes that share a block: the limit of a backend, its queue and its places hold for all of them together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.fellow import MOST, spec_for
from posthouse.config.specs import Config, PoolSpec, RouteSpec, SiteSpec
from posthouse.server.rows import queue_keys
from posthouse.server.sharing import Sharing

FELLOW = Path(__file__).with_name("fellow.py")
WORKERS = 4


class CountingBackend:
    """Answers after a moment, and knows how many asked it at once."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self.socket.getsockname()[1]
        self.now = self.most = self.total = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with self.lock:
                self.now += 1
                self.total += 1
                self.most = max(self.most, self.now)
            threading.Timer(0.002, self.answer, (connection,)).start()

    def answer(self, connection: socket.socket) -> None:
        with self.lock:
            self.now -= 1
        connection.close()


class Process:
    def __init__(self, sharing: Sharing, worker: int, port: int) -> None:
        fds = sharing.descriptors
        self.process = subprocess.Popen(
            [sys.executable, str(FELLOW), str(worker), str(port), *map(str, fds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=fds,
            text=True,
        )

    def say(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def do(self, command: str) -> dict[str, Any]:
        self.say(command)
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait()


def config_of(pool: PoolSpec) -> Config:
    """A configuration with that pool."""
    return Config((SiteSpec((), routes=(RouteSpec("/", pool),)),))


class Group:
    def __init__(self) -> None:
        self.backend = CountingBackend()
        self.sharing = Sharing(WORKERS, lambda: ())
        self.sharing.start()
        self.spec = spec_for(self.backend.port)
        self.sharing.prepare(1, config_of(self.spec))
        self.workers = [Process(self.sharing, number, self.backend.port) for number in range(WORKERS)]

    def held(self) -> int:
        return self.sharing.held((self.spec.name, self.spec.endpoints[0].text, 1))

    def waiting(self) -> int:
        return self.sharing.held(queue_keys(self.spec.name)[0])

    def replace(self, number: int) -> None:
        """What a supervisor does about a worker that was killed."""
        self.workers[number].kill()
        self.sharing.bury(number)
        self.workers[number] = Process(self.sharing, number, self.backend.port)

    def close(self) -> None:
        for one in self.workers:
            one.kill()
        self.backend.socket.close()
        self.sharing.close()


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    made = Group()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nobody_is_left(group: Group) -> Iterator[None]:
    """One test that fails must not keep the places of the next."""
    yield
    if group.held() or group.waiting():
        for number in range(WORKERS):
            group.replace(number)


def test_never_one_more_than_the_limit(group: Group) -> None:
    for one in group.workers:
        one.do("rounds 8")
    for one in group.workers:
        one.say("ask 16")
    answers = [one.hear() for one in group.workers]
    assert [answer["done"] for answer in answers] == [16 * 8] * WORKERS, "nobody was forgotten"
    assert group.backend.total == 16 * 8 * WORKERS
    assert MOST // 2 < group.backend.most <= MOST
    assert group.held() == group.waiting() == 0
    woken = sum(answer["wakes"] for answer in answers)
    assert woken <= 3 * group.backend.total, "each release wakes one, or two"


def test_of_those_who_claim_the_last_place_at_once_one_gets_it(group: Group) -> None:
    """No look before a claim is enough: without the lock this is seen to fail within a few hundred turns."""
    for _ in range(MOST - 1):
        group.workers[0].do("hold")
    for one in group.workers:
        one.say("hammer 4000")
    most = {one.hear()["most"] for one in group.workers}
    assert MOST in most and most <= {0, MOST}, "0: on a busy machine one may never get it"
    for _ in range(MOST - 1):
        group.workers[0].do("drop")


def test_who_waits_is_woken_and_never_looks_by_itself(group: Group) -> None:
    holder, waiter = group.workers[:2]
    for _ in range(MOST):
        holder.do("hold")
    assert waiter.do("wait") == {"waits": 1}
    began = time.monotonic()
    while time.monotonic() < began + 0.15:  # longer than any patience; whoever polls does so meanwhile
        group.workers[2].do("rounds 1")
    assert (group.held(), group.waiting()) == (MOST, 1)
    holder.do("drop")
    answer = waiter.hear()
    assert answer["looks"] <= 3
    assert (group.held(), group.waiting()) == (MOST, 0)
    for _ in range(MOST - 1):
        holder.do("drop")
    waiter.do("drop")
    assert group.held() == 0


def test_the_order_is_that_of_all_workers(group: Group) -> None:
    holder, *others = group.workers
    for _ in range(MOST):
        holder.do("hold")
    for one in (others[1], others[0], others[2]):
        assert one.do("wait") == {"waits": 1}
    holder.do("drop")
    for one in (others[1], others[0], others[2]):
        one.hear()  # it has what the one before has given back
        assert group.held() == MOST
        one.do("drop")
    for _ in range(MOST - 1):
        holder.do("drop")
    assert group.held() == 0


def test_what_a_killed_worker_held_is_free_and_those_who_wait_get_it(group: Group) -> None:
    for _ in range(MOST):
        group.workers[3].do("hold")
    assert group.workers[0].do("wait") == group.workers[1].do("wait") == {"waits": 1}
    group.replace(3)
    assert group.workers[0].hear()["wakes"] >= 1
    group.workers[1].hear()
    assert group.held() == 2
    for one in group.workers[:2]:
        one.do("drop")


def test_a_killed_worker_does_not_keep_others_from_their_turn(group: Group) -> None:
    for _ in range(MOST):
        group.workers[0].do("hold")
    assert group.workers[1].do("wait") == group.workers[2].do("wait") == {"waits": 1}
    assert group.waiting() == 2
    group.replace(1)  # its waiter was the oldest
    group.workers[0].do("drop")
    group.workers[2].hear()
    assert (group.held(), group.waiting()) == (MOST, 0)
    group.workers[2].do("drop")
    for _ in range(MOST - 1):
        group.workers[0].do("drop")


def test_one_that_stands_still_is_not_waited_for(group: Group) -> None:
    """Stopped with the oldest waiter: the next ones are let in after a moment."""
    for _ in range(MOST):
        group.workers[0].do("hold")
    assert group.workers[1].do("wait") == group.workers[2].do("wait") == {"waits": 1}
    os.kill(group.workers[1].process.pid, signal.SIGSTOP)
    group.workers[0].do("drop")
    group.workers[0].do("drop")
    group.workers[2].hear()
    os.kill(group.workers[1].process.pid, signal.SIGCONT)
    group.workers[1].hear()
    assert (group.held(), group.waiting()) == (MOST, 0)
    for one in group.workers[1:3]:
        one.do("drop")
    for _ in range(MOST - 2):
        group.workers[0].do("drop")
