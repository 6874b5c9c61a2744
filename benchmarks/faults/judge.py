"""From what clients saw and what backends executed to the figures of one cell; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.faults.wire import Kind

LATE_SECONDS = 1.0
"""A good answer that took longer shows that traffic still goes where it should not."""


class Ending(Enum):
    """How a request ended, from the client's side.

    GOOD     200 with its own whole body
    STATUS   another status, whole
    BROKEN   the connection ended before the head of a response
    CUT      a 200 that ended early, and the client can tell
    SHORT    a part of its body, shown as complete
    FOREIGN  complete, but not its own body
    HUNG     nothing more came for a long time
    """

    GOOD = "good"
    STATUS = "status"
    BROKEN = "broken"
    CUT = "cut"
    SHORT = "short"
    FOREIGN = "foreign"
    HUNG = "hung"


LOST = frozenset({Ending.STATUS, Ending.BROKEN, Ending.HUNG})
"""No response had begun that could have been a good one: the proxy might have asked another backend."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request. began, ended: seconds on one clock. status: 0 if no head came."""

    identity: str
    kind: Kind
    began: float
    ended: float
    ending: Ending
    status: int = 0

    def is_harmed(self) -> bool:
        """Whether its client noticed the fault."""
        return self.ending is not Ending.GOOD or self.ended - self.began > LATE_SECONDS


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of one cell.

    lost            GETs and streams without an answer, or with a wrong status
    lost_posts      the same of POSTs, and how many of these a backend executed
    doubled         POSTs that were executed more than once
    cut             responses broken off in the middle, so that the client can tell
    short, foreign  those that looked complete and were not; that were another's
    moved           seconds from the fault's beginning to the last request that noticed it; None: to the fault's end
    slowest         seconds of the slowest request
    statuses        how often each wrong status was seen
    """

    asked: int
    lost: int
    lost_posts: int
    lost_posts_executed: int
    doubled: int
    cut: int
    short: int
    foreign: int
    moved: float | None
    slowest: float
    statuses: Mapping[int, int]


def read_executions(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    """How often each (method, id) was executed."""
    counted: Counter[tuple[str, str]] = Counter()
    for line in lines:
        method, _, identity = line.partition(" ")
        counted[method, identity] += 1
    return counted


def moved(outcomes: Sequence[Outcome], began: float, ended: float) -> float | None:
    """See Verdict. A fault that is noticed in its last tenth was noticed to its end."""
    noticed = [one.began for one in outcomes if one.is_harmed() and one.ended >= began and one.began <= ended]
    last = max(0.0, max(noticed, default=began) - began)
    return None if last > 0.9 * (ended - began) else last


def judge(
    outcomes: Sequence[Outcome], executions: Counter[tuple[str, str]], began: float, ended: float
) -> Verdict:
    """began, ended: of the fault, on the clock of the outcomes."""
    endings = Counter(one.ending for one in outcomes)
    lost = [one for one in outcomes if one.ending in LOST]
    lost_posts = [one for one in lost if one.kind is Kind.POST]
    return Verdict(
        asked=len(outcomes),
        lost=len(lost) - len(lost_posts),
        lost_posts=len(lost_posts),
        lost_posts_executed=sum(executions["POST", one.identity] > 0 for one in lost_posts),
        doubled=sum(count > 1 for (method, _), count in executions.items() if method == "POST"),
        cut=endings[Ending.CUT],
        short=endings[Ending.SHORT],
        foreign=endings[Ending.FOREIGN],
        moved=moved(outcomes, began, ended),
        slowest=max((one.ended - one.began for one in outcomes), default=0.0),
        statuses=dict(Counter(one.status for one in lost if one.status)),
    )


def broken_promises(verdict: Verdict, may_lose: bool) -> list[str]:
    """What must be zero and is not. may_lose: no other backend lives, or an answer is an answer."""
    must = {
        "idempotent requests were lost": 0 if may_lose else verdict.lost,
        "POSTs were executed twice": verdict.doubled,
        "truncated responses looked complete": verdict.short,
        "answers were another request's": verdict.foreign,
    }
    return [f"{count} {what}" for what, count in must.items() if count]
