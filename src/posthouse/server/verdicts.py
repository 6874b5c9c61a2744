"""Verdicts: what it means how a worker answered, or how it ended."""

from __future__ import annotations

from posthouse.errors import ConfigError, StartError
from posthouse.server.child import Child
from posthouse.server.control import Refused


def judge(answer: object) -> None:
    """Raises what a worker's answer to `Prepare` means, if it is not `Prepared`."""
    if isinstance(answer, BaseException):
        raise answer
    if isinstance(answer, Refused):
        if answer.mistakes:
            raise ConfigError(list(answer.mistakes))
        raise StartError(answer.reason)


def obituary(child: Child, code: int, times: int) -> str:
    """Why there will be no further attempt with a worker, which has ended so often."""
    why = child.trouble or ended(code)
    return f"worker {child.slot} ended {times} times before it served: {why}"


def ended(code: int) -> str:
    """How a process ended, from its exit code."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
