"""The conformance suite of policies: what every one promises, whoever wrote it."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.orders import Kind, Order
from posthouse.balance.policy import Choice, Policy, Setting, setting_of
from posthouse.balance.pool import Pool
from posthouse.balance.watch import Watch
from posthouse.config.specs import EndpointSpec, PassiveSpec, PoolSpec

MakePolicy = Callable[[Setting], Policy]
"""Makes the policy under test for a pool."""

Habit = Literal["even", "hash", "ordered"]
"""How a policy spreads: all alike whatever is asked for, by a key of the request, or by the order of the
file."""

SIZES = (2, 3, 7, 40, 70)
"""Small pools, one large enough for a table, and one that is too large to be counted."""

KEYS = 3000
DEVIATION = 6.0
"""Standard deviations that a share may be off: by chance once in five hundred million."""

REMAP_ALLOWANCE = 0.1
"""Part of the other keys that may move when a backend joins or leaves for good."""


class SampleChoice:
    """A request made from a number: different numbers give different keys, wherever a policy looks for one.

    Peer and client address, request target with a parameter `key`, every field, and a cookie `key`.
    """

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def __repr__(self) -> str:
        return f"<SampleChoice {self._number}>"

    @property
    def peer(self) -> str:
        return f"10.{self._number >> 16 & 255}.{self._number >> 8 & 255}.{self._number & 255}"

    @property
    def client_ip(self) -> str:
        return f"10.{self._number >> 16 & 255}.{self._number & 255}.{self._number >> 8 & 255}"

    @property
    def is_secure(self) -> bool:
        return self._number % 2 == 1

    @property
    def wall(self) -> float:
        return 1_700_000_000.0 + self._number

    @property
    def target(self) -> bytes:
        return b"/items/%d?key=%d" % (self._number, self._number)

    def field(self, name: bytes) -> bytes | None:
        return b"key=%d" % self._number if name == b"cookie" else b"%d" % self._number


def check_policy(make: MakePolicy, habit: Habit) -> None:
    """Raise AssertionError with what was expected unless the policy keeps what its habit promises.

    All: never a backend that is down, draining, kept back by an order, marked or full, nor one that was tried while
    another is left, nor a fallback while a primary can be used; the same choices from the same seed.
    "even": equal shares of what is usable, or shares by weight; less for one in its slow start, all of it afterwards.
    All of that also where several workers take turns together (`Setting.take_number`).
    "hash": one key, one backend, whatever the seed and whoever else comes and goes; keys in equal shares, or by weight;
    every usable backend is found; one in its slow start takes its keys bit by bit and keeps them.
    "ordered": the same usable backend every time.
    """
    for size in SIZES:
        _check_usable_only(make, size)
        _check_deterministic(make, size)
        if habit == "even":
            _check_even(make, size)
        elif habit == "hash":
            _check_same_key(make, size)
            _check_hash_shares(make, size)
            _check_small_remap(make, size)
        else:
            _check_one_answer(make, size)
    for size in () if habit == "ordered" else SIZES:
        _check_weights(make, size)
        if habit == "even":
            _check_slow_start(make, size)
        else:
            _check_slow_keys(make, size)
    if habit == "even":
        for size in SIZES:
            for check in (_check_usable_only, _check_even, _check_weights, _check_slow_start):
                check(_together(make), size)


def _together(make: MakePolicy) -> MakePolicy:
    """The policy of one of several workers, when the others have nothing to do."""
    return lambda setting: make(replace(setting, take_number=itertools.count(KEYS).__next__))


def _pool(make: MakePolicy, size: int, seed: int = 1, leave_out: int | None = None, **options: Any) -> Pool:
    """options: of the PoolSpec, and weights, as many as backends; fallbacks, how many at the end are that"""
    weights = options.pop("weights", (1,) * size)
    primaries = size - options.pop("fallbacks", 0)
    endpoints = tuple(
        EndpointSpec(
            f"http://10.1.0.{i}:80",
            "http",
            f"10.1.0.{i}",
            80,
            weight=weights[i],
            role="primary" if i < primaries else "fallback",
        )
        for i in range(size)
        if i != leave_out
    )
    watch = Watch()
    backends = [Backend(endpoint, 1, watch) for endpoint in endpoints]
    spec = PoolSpec("sample", endpoints, passive=PassiveSpec(fail_timeout=10.0), **options)
    setting = setting_of(spec, backends, random.Random(seed))
    pool = Pool(spec, setting, make(setting), watch)
    pool.start()
    return pool


def _ask(pool: Pool, choice: Choice, now: float = 0.0, tried: Sequence[Backend] = ()) -> Backend:
    backend = pool.select(choice, now, tried)
    assert backend is not None, f"nothing chosen for {choice!r} although {len(pool.usable)} are usable"
    return backend


def _check_usable_only(make: MakePolicy, size: int) -> None:
    _check_among(_pool(make, size, max_conns=1), size)
    weights = tuple(range(1, size + 1))
    _check_among(
        _pool(make, size, max_conns=2, weights=weights, slow_start=20.0, fallbacks=size // 2), size + 1
    )


def _check_among(pool: Pool, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(150):
        # Among few backends, so that the states of some pile up also in a large pool.
        backend = chance.choice(pool.backends[: chance.choice((3, len(pool.backends)))])
        trouble = chance.randrange(5)
        if trouble == 0:
            backend.believe(chance.choice(tuple(State)))
        elif trouble == 4:
            backend.obey(Order(chance.choice((None, *Kind)), float(number)))
        elif trouble == 1:
            pool.fail(backend, float(number))
        elif backend.in_flight:
            pool.release(backend)
        elif not backend.is_full:
            pool.acquire(backend)
        tried = chance.sample(pool.backends, chance.randrange(len(pool.backends)))
        _check_one_choice(pool, SampleChoice(number), float(number), tried)


def _check_one_choice(pool: Pool, choice: Choice, now: float, tried: Sequence[Backend]) -> None:
    usable = [backend for backend in pool.backends if backend.is_available(now)]
    fresh = [backend for backend in usable if backend not in tried] or usable
    primaries = [backend for backend in fresh if backend.endpoint.role == "primary"]
    allowed = primaries or fresh
    backend = pool.select(choice, now, tried)
    if allowed:
        assert backend in allowed, f"{backend!r} was chosen; usable and not tried are {allowed!r}"
    else:
        assert backend is None, f"{backend!r} was chosen although nothing is usable"


def _check_deterministic(make: MakePolicy, size: int) -> None:
    answers = []
    for _ in range(2):
        pool = _pool(make, size, seed=7)
        answers.append([_ask(pool, SampleChoice(number)).name for number in range(100)])
    assert answers[0] == answers[1], "two pools with the same seed chose differently"


def _check_even(make: MakePolicy, size: int) -> None:
    pool = _pool(make, size)
    same = SampleChoice(1)
    _check_shares(Counter(_ask(pool, same) for _ in range(KEYS)), pool.backends)
    pool.backends[0].is_up = False
    _check_shares(Counter(_ask(pool, same) for _ in range(KEYS)), pool.backends[1:])


def _check_shares(counts: Counter[Backend], backends: Sequence[Backend], allowance: float = 0.0) -> None:
    """By weight; allowance: part of a share that it may be off besides what chance explains"""
    total = counts.total()
    whole = sum(backend.weight for backend in backends)
    for backend in backends:
        part = backend.weight / whole
        slack = DEVIATION * (total * part * (1 - part)) ** 0.5 + 1 + allowance * total * part
        off = abs(counts[backend] - total * part)
        assert off <= slack, (
            f"{backend!r} got {counts[backend]} of {total}, {total * part:.0f} ± {slack:.0f} is fair"
        )


def _check_weights(make: MakePolicy, size: int) -> None:
    weights = tuple((1, 5, 2)[place % 3] for place in range(size))
    pool = _pool(make, size, weights=weights)
    counts = Counter(_ask(pool, SampleChoice(number)) for number in range(KEYS))
    _check_shares(counts, pool.backends, REMAP_ALLOWANCE)


def _check_slow_start(make: MakePolicy, size: int) -> None:
    pool = _pool(make, size, slow_start=100.0)
    late = pool.backends[0]
    late.believe(State.DOWN)
    _ask(pool, SampleChoice(0), 0.0)
    late.believe(State.UP)
    fair = KEYS / size
    slack = DEVIATION * fair**0.5 + 1
    counts = [
        Counter(_ask(pool, SampleChoice(number), now) for number in range(KEYS))[late]
        for now in (1.0, 60.0, 200.0)
    ]
    low, middle, full = counts
    assert 0 < low <= 0.2 * fair + slack, f"{late!r} got {low} of {KEYS} at the beginning of its slow start"
    assert low < full and middle <= fair + slack, f"{late!r} got {counts} of {KEYS} in its slow start"
    assert abs(full - fair) <= slack, f"{late!r} got {full} of {KEYS} after its slow start, not {fair:.0f}"


def _check_slow_keys(make: MakePolicy, size: int) -> None:
    pool = _pool(make, size, slow_start=100.0)
    homes = [_ask(pool, SampleChoice(number)) for number in range(KEYS)]
    late = pool.backends[0]
    late.believe(State.DOWN)
    _ask(pool, SampleChoice(0), 0.0)
    late.believe(State.UP)
    ever: set[int] = set()
    taken = []
    for now in (1.0, 30.0, 60.0, 200.0):
        has = {n for n in range(KEYS) if _ask(pool, SampleChoice(n), now) is late}
        assert ever <= has, f"{late!r} took keys in its slow start and lost them again"
        ever = has
        taken.append(len(has))
    whole = sum(home is late for home in homes)
    assert taken[0] <= 0.2 * whole + DEVIATION * whole**0.5, (
        f"{late!r} got {taken[0]} of {whole} keys at once"
    )
    assert ever == {n for n, home in enumerate(homes) if home is late}, (
        f"{late!r} has other keys after its slow start"
    )


def _check_same_key(make: MakePolicy, size: int) -> None:
    pool, other = _pool(make, size, seed=1), _pool(make, size, seed=2)
    for number in range(300):
        choice = SampleChoice(number)
        home = _ask(pool, choice)
        assert _ask(pool, choice) is home, f"{choice!r} was at {home!r} and moved"
        assert _ask(other, choice).name == home.name, f"{choice!r} depends on the seed or the process"


def _check_hash_shares(make: MakePolicy, size: int) -> None:
    pool = _pool(make, size)
    homes = [_ask(pool, SampleChoice(number)) for number in range(KEYS)]
    _check_shares(Counter(homes), pool.backends)
    pool.backends[0].is_up = False
    moved = [_ask(pool, SampleChoice(n)) for n, home in enumerate(homes) if home is pool.backends[0]]
    _check_shares(Counter(moved), pool.backends[1:])
    for number, home in enumerate(homes):
        stays = _ask(pool, SampleChoice(number)) is home
        assert stays or home is pool.backends[0], (
            f"key {number} left {home!r} although only another went down"
        )
    for backend in pool.backends[1:-1]:
        backend.is_up = False
    for number in range(100):
        last = _ask(pool, SampleChoice(number))
        assert last is pool.backends[-1], f"{last!r} was chosen, only the last one is up"


def _check_small_remap(make: MakePolicy, size: int) -> None:
    if size == 2:
        return
    whole, rest = _pool(make, size), _pool(make, size, leave_out=size // 2)
    gone = whole.backends[size // 2].name
    moved = stayed = 0
    for number in range(KEYS):
        home = _ask(whole, SampleChoice(number)).name
        if home != gone:
            if _ask(rest, SampleChoice(number)).name == home:
                stayed += 1
            else:
                moved += 1
    limit = REMAP_ALLOWANCE * (moved + stayed)
    assert moved <= limit, (
        f"{moved} of {moved + stayed} keys moved when another backend left, {limit:.0f} may"
    )


def _check_one_answer(make: MakePolicy, size: int) -> None:
    pool = _pool(make, size)
    while pool.backends[-1].is_up:
        home = _ask(pool, SampleChoice(0))
        for number in range(20):
            backend = _ask(pool, SampleChoice(number))
            assert backend is home, f"{backend!r} was chosen after {home!r}, which is still usable"
        home.is_up = False
        if pool.select(SampleChoice(0), 0.0) is None:
            return
