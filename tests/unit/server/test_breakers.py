"""One line for each change of a breaker."""

from __future__ import annotations

from typing import Any

from posthouse.balance.backend import Backend
from posthouse.balance.breaker import Phase
from posthouse.config.specs import BreakerSpec, PassiveSpec
from posthouse.server.breakers import tell_breaker
from unit.balance.samples import Request, make_pool, pool_spec


class Log:
    """The process log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, what: str, **fields: Any) -> None:
        self.lines.append(("info", what, fields))

    def warn(self, what: str, **fields: Any) -> None:
        self.lines.append(("warn", what, fields))


def test_open_half_open_closed() -> None:
    log = Log()
    pool = make_pool(pool_spec("a", passive=PassiveSpec(breaker=BreakerSpec(minimum=1, open=5.0))))
    a = pool.backends[0]

    def tell(backend: Backend, was: Phase) -> None:
        tell_breaker(log, pool.name, backend, was)  # type: ignore[arg-type]

    pool.tell(tell)
    pool.fail(a, 0.0, "reset")
    pool.select(Request(), 5.0)
    trial = a.acquire()
    assert trial is not None
    a.succeed(5.0, 0.1, trial)
    same = {"pool": "site /", "upstream": "http://a:80"}
    assert log.lines == [
        ("warn", "breaker open", {**same, "was": "closed", "reason": "1 of 1 answers in 10s were errors"}),
        ("info", "breaker half-open", {**same, "was": "open", "reason": "5s are over"}),
        ("info", "breaker closed", {**same, "was": "half_open", "reason": "1 of 1 trials passed"}),
    ]
