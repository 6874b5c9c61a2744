"""Resolver: names to addresses, off the event loop, with the last good answer kept."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Final

ANSWER_SECONDS: Final = 1.0
"""How long an answer is used without asking again: enough that a burst of dials asks once."""
PATIENCE_SECONDS: Final = 0.25
"""How long a new answer is waited for while there is an old one: a name server that is silent, or slow, must not hold
up dials to addresses that were good. The question goes on, and its answer serves the dials after it."""
_MEMO: Final = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """One dialable IP address."""

    family: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class _Answer:
    asked: float
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class _Question:
    asked: float
    task: asyncio.Task[tuple[Address, ...]]


class Resolver:
    """Resolves through the system (getaddrinfo in a thread)."""

    __slots__ = ("_answers", "_asking", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answers: dict[tuple[str, int], _Answer] = {}
        self._asking: dict[tuple[str, int], _Question] = {}

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """Addresses of a host in the system's order, at least one.

        Literal addresses are answered at once; "" is this machine. When the system can't tell, or takes its time, the
        last good answer is used, however old (reliability.md 2.14). Raises OSError if there is none.
        """
        literal = literal_address(host, port)
        if literal is not None:
            return (literal,)
        now = self._loop.time()
        known = self._answers.get((host, port))
        if known is not None and now - known.asked < ANSWER_SECONDS:
            return known.addresses
        question = self._asking.get((host, port)) or self._begin(host, port, now)
        if known is None:
            # Shielded: one dial that is called off must not take the answer from the others.
            return await asyncio.shield(question.task)
        left = question.asked + PATIENCE_SECONDS - now
        if left > 0:
            await asyncio.wait((question.task,), timeout=left)
        task = question.task
        return known.addresses if not task.done() or task.cancelled() or task.exception() else task.result()

    def _begin(self, host: str, port: int, now: float) -> _Question:
        task = self._loop.create_task(self._ask(host, port))
        task.add_done_callback(lambda task: self._learn(host, port, task))
        question = self._asking[host, port] = _Question(now, task)
        return question

    def _learn(self, host: str, port: int, asked: asyncio.Task[tuple[Address, ...]]) -> None:
        self._asking.pop((host, port), None)
        if asked.cancelled() or asked.exception() is not None:
            return
        if len(self._answers) >= _MEMO:
            self._answers.clear()
        self._answers[host, port] = _Answer(self._loop.time(), asked.result())

    async def _ask(self, host: str, port: int) -> tuple[Address, ...]:
        found = await self._loop.getaddrinfo(host or "localhost", port, type=socket.SOCK_STREAM)
        addresses = tuple(Address(family, str(address[0]), port) for family, _, _, _, address in found)
        if not addresses:
            raise OSError(f"no address for {host}")
        return addresses


def literal_address(host: str, port: int) -> Address | None:
    """The address that an IP literal is, or None for a name."""
    try:
        version = ipaddress.ip_address(host.partition("%")[0]).version
    except ValueError:
        return None
    return Address(socket.AF_INET if version == 4 else socket.AF_INET6, host, port)
