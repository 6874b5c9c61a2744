"""Judge: what the head of a response says about its backend, by one pool's settings.

| the head                                             | for `max_fails` | for `breaker` |
|------------------------------------------------------|-----------------|---------------|
| its status is one of `unhealthy_status`              | a failure       | an error      |
| it took `unhealthy_latency` or longer                | a failure       | an error      |
| 5xx, where the site wrote no `unhealthy_status`      | –               | an error      |
| any other                                            | –               | good          |

Attempts that failed before their head came are not judged here: all of them count for both.
"""

from __future__ import annotations

from posthouse.balance.backend import Backend
from posthouse.balance.pool import Pool
from posthouse.balance.trials import Trials

_SERVER_ERRORS = ((500, 599),)


class Judge:
    """What one pool makes of its answers.

    budget    counts the pool's requests, or None if nobody asks how many there are
    statuses  those after which another backend is asked (`retry_on`)
    is_brief  there is nothing to be learned from an answer but that it came and its status
    """

    __slots__ = ("_errors", "_pool", "_slow", "_unhealthy", "budget", "is_brief", "statuses")

    def __init__(self, pool: Pool) -> None:
        spec = pool.spec
        passive = spec.passive
        self._pool = pool
        self._unhealthy = passive.statuses
        self._errors = passive.statuses or _SERVER_ERRORS
        self._slow = passive.latency
        self.budget = pool.budget if spec.retry.is_on and spec.retry.budget is not None else None
        self.statuses = spec.retry.statuses if spec.retry.is_on else frozenset()
        self.is_brief = not (self._unhealthy or self._slow is not None or passive.breaker is not None)

    def __repr__(self) -> str:
        return f"<Judge of {self._pool.name!r}>"

    @property
    def is_needed(self) -> bool:
        """Whether the pool has any use for it."""
        return (
            not self.is_brief
            or self.budget is not None
            or bool(self.statuses)
            or self._pool.spec.passive.fail_timeout > 0
        )

    def hear(
        self, backend: Backend, status: int, seconds: float | None, trial: Trials | None, now: float
    ) -> None:
        """`backend` answered; seconds: to the head, None if the request had not been sent whole by then."""
        if _is_among(status, self._unhealthy):
            fault = f"answered {status}"
        elif self._slow is not None and seconds is not None and seconds >= self._slow:
            fault = f"took {seconds:.3g}s to answer"
        else:
            error = f"answered {status}" if _is_among(status, self._errors) else ""
            backend.succeed(now, seconds, trial, error)
            return
        self._pool.fail(backend, now, fault, trial, seconds)


def _is_among(status: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= status <= last for first, last in ranges)
