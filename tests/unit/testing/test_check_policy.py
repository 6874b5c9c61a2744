"""The conformance suite finds what it is there to find."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

import pytest

from posthouse.balance.backend import Backend
from posthouse.balance.policies.first import First
from posthouse.balance.policies.ip_hash import IpHash
from posthouse.balance.policies.random_pick import RandomPick
from posthouse.balance.policy import Choice, Setting
from posthouse.testing.check_policy import Habit, SampleChoice, check_policy


class Faulty:
    """A policy to spoil; as it is, it is `first`."""

    usage: ClassVar[str] = "faulty"
    arguments: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, args: tuple[str, ...], setting: Setting) -> None:
        self.backends = setting.backends
        self.rng = setting.rng

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        return usable[0]


class IgnoresHealth(Faulty):
    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        return self.backends[0]


class IgnoresTried(Faulty):
    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        return next(backend for backend in self.backends if backend.is_usable)


class OwnChance(Faulty):
    chance = random.Random()

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        return self.chance.choice(usable)


class Modulo(Faulty):
    """Stable while all are up; almost everything moves when one goes."""

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        return usable[int(choice.peer.rpartition(".")[2]) % len(usable)]


class ModuloAll(Faulty):
    """v1's hash: by place among all; the rest of it moves only when the file changes."""

    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        number = int.from_bytes(bytes(int(part) for part in choice.peer.split(".")), "big")
        home = self.backends[number % len(self.backends)]
        return home if home in usable else usable[number // len(self.backends) % len(usable)]


class Lopsided(Faulty):
    def select(
        self, usable: Sequence[Backend], choice: Choice, tried: Sequence[Backend], now: float
    ) -> Backend:
        return usable[int(self.rng.random() ** 1.3 * len(usable))]


@pytest.mark.parametrize(
    ("policy", "habit", "complaint"),
    [
        (IgnoresHealth, "ordered", "was chosen"),
        (IgnoresTried, "ordered", "not tried are"),
        (OwnChance, "even", "same seed"),
        (Lopsided, "even", "is fair"),
        (Faulty, "even", "is fair"),
        (RandomPick, "hash", "moved"),
        (Faulty, "hash", "is fair"),
        (Modulo, "hash", "only another went down"),
        (ModuloAll, "hash", "when another backend left"),
        (RandomPick, "ordered", "still usable"),
    ],
)
def test_finds(policy: type[Faulty], habit: Habit, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_policy(lambda setting: policy((), setting), habit)


@pytest.mark.parametrize(("policy", "habit"), [(RandomPick, "even"), (IpHash, "hash"), (First, "ordered")])
def test_content_with_what_is_right(policy: type[Faulty], habit: Habit) -> None:
    check_policy(lambda setting: policy((), setting), habit)


def test_sample_choices_differ_wherever_a_policy_looks() -> None:
    choices = [SampleChoice(number) for number in range(1000)]
    assert len({choice.peer for choice in choices}) == 1000
    assert len({choice.target for choice in choices}) == 1000
    assert len({choice.field(b"cookie") for choice in choices}) == 1000
    assert len({choice.field(b"x-any") for choice in choices}) == 1000
    assert repr(choices[7]) == "<SampleChoice 7>"
