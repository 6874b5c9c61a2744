"""What one worker found out, and what becomes of it in the others."""

from __future__ import annotations

from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.balance.pool import Pool
from posthouse.config.specs import BreakerSpec, PassiveSpec
from posthouse.server.news import Failed, News, Remembered, Tripped, apply, failed, tripped
from unit.balance.samples import Request, make_pool, pool_spec

BREAKER = BreakerSpec(errors=50, minimum=1, window=10.0, open=5.0, trials=1)
PASSIVE = PassiveSpec(fail_timeout=10.0, max_fails=2, breaker=BREAKER)


class Worker:
    """A pool, and what it tells."""

    def __init__(self, passive: PassiveSpec = PASSIVE) -> None:
        self.pool = make_pool(pool_spec("ab", passive=passive))
        self.told: list[News] = []
        self.lines: list[tuple[str, Phase]] = []
        name = self.pool.name

        def on_breaker(backend: Backend, was: Phase) -> None:
            self.lines.append((backend.name, was))
            news = tripped(name, backend)
            if news is not None:
                self.told.append(news)

        self.pool.tell(
            on_breaker,
            lambda backend, expiry, reason: self.told.append(failed(name, backend, expiry, reason)),
        )

    @property
    def first(self) -> Backend:
        return self.pool.backends[0]

    def hear(self, news: News, now: float) -> None:
        apply(news, {self.pool.name: self.pool}, now)

    def usable(self, now: float) -> list[str]:
        self.pool.select(Request(), now)
        return [backend.name for backend in self.pool.usable]


def test_failures_count_for_all() -> None:
    marks = PassiveSpec(fail_timeout=10.0, max_fails=2)
    here, there = Worker(marks), Worker(marks)
    here.pool.fail(here.first, 1.0, "refused")
    (news,) = here.told
    assert news == Failed("site /", here.first.key, 11.0, "refused")
    there.hear(news, 1.0)
    assert there.told == [], "no echo"
    there.pool.fail(there.first, 2.0, "reset")
    assert there.usable(2.0) == ["http://b:80"] and there.first.marked_since == 2.0
    assert there.usable(10.9) == ["http://b:80"]
    assert there.usable(11.0) == ["http://a:80", "http://b:80"]


def test_old_failures_and_those_of_others_are_nothing() -> None:
    worker = Worker(PassiveSpec(fail_timeout=10.0))
    worker.hear(Failed("site /", worker.first.key, 5.0, "old"), 5.0)
    worker.hear(Failed("site /", ("http://x:80", 1), 50.0, "nobody"), 5.0)
    worker.hear(Failed("other /", worker.first.key, 50.0, "nobody"), 5.0)
    assert len(worker.usable(5.0)) == 2
    forgets = Worker(PassiveSpec())
    forgets.hear(Failed("site /", forgets.first.key, 50.0, "not remembered here"), 5.0)
    assert len(forgets.usable(5.0)) == 2


def test_a_breaker_that_opens_opens_everywhere_and_one_tells() -> None:
    here, there = Worker(), Worker()
    here.pool.fail(here.first, 1.0, "refused")
    news = here.told[-1]
    assert isinstance(news, Tripped) and (news.phase, news.since, news.until) == (Phase.OPEN, 1.0, 6.0)
    there.hear(news, 1.1)
    assert there.usable(5.9) == ["http://b:80"]
    assert there.lines == [] and there.told == []
    assert len(here.usable(6.0)) == len(there.usable(6.0)) == 2, "half-open: each tries for itself"
    assert len(here.lines) == 2 and there.lines == [], "and one tells"
    trial = there.pool.acquire(there.first)
    there.first.succeed(6.5, 0.1, trial)
    assert there.lines == [("http://a:80", Phase.HALF_OPEN)]
    here.hear(there.told[-1], 6.6)
    assert here.first.comeback.breaker is not None
    assert here.first.comeback.breaker.phase is Phase.CLOSED


def test_of_two_changes_at_once_the_later_one_is_everybodys() -> None:
    here, there = Worker(), Worker()
    here.pool.fail(here.first, 1.0, "one")
    there.pool.fail(there.first, 2.0, "two")
    mine, theirs = here.told[-1], there.told[-1]
    here.hear(theirs, 3.0)
    there.hear(mine, 3.0)
    untils = [one.first.comeback.breaker.until for one in (here, there)]  # type: ignore[union-attr]
    assert untils == [7.0, 7.0]


def play(news: list[News], pool: Pool, now: float) -> None:
    for one in news:
        apply(one, {pool.name: pool}, now)


def test_who_comes_later_learns_what_still_matters() -> None:
    remembered, key = Remembered(), ("http://a:80", 1)
    remembered.add(Failed("site /", key, 2.0, "over soon"), 1.0)
    remembered.add(Failed("site /", key, 11.0, "refused"), 1.0)
    remembered.add(Tripped("site /", key, Phase.OPEN, "bad", 1.0, 6.0), 1.0)
    remembered.add(Tripped("site /", key, Phase.CLOSED, "stale", 0.5, None), 1.0)
    worker = Worker()
    play(remembered.tell(3.0), worker.pool, 3.0)
    assert worker.first.failures(3.0) == 1
    assert worker.first.comeback.breaker.phase is Phase.OPEN  # type: ignore[union-attr]


def test_what_is_over_is_forgotten() -> None:
    """Backends that were found while we run come and go for ever."""
    remembered = Remembered()
    for number in range(10_000):
        now = float(number)
        key = (f"http://b{number}:80", 1)
        remembered.add(Failed("site /", key, now + 10.0, "refused"), now)
        remembered.add(Tripped("site /", key, Phase.OPEN, "bad", now, now + 5.0), now)
    assert len(remembered._failed) + len(remembered._last) < 500
    assert len({one.backend for one in remembered.tell(9_999.0) if isinstance(one, Failed)}) == 10
