"""`status`: a path that is answered with a status and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.proxy.answer import Answer, Visit


class Statuses:
    """The paths of a site's `status` lines: the longest that matches answers."""

    __slots__ = ("_answers",)

    def __init__(self, paths: Sequence[tuple[str, int]]) -> None:
        """paths: (path as matchers compare it, status)."""
        # Below 400 nothing went wrong, and v1 sends no body; from 400 on the site's error page may have one.
        answers = [(key, Answer(status, (), b"" if status < 400 else None)) for key, status in paths]
        self._answers = sorted(answers, key=lambda pair: -len(pair[0]))

    def __repr__(self) -> str:
        return f"<Statuses paths={len(self._answers)}>"

    def act(self, visit: Visit) -> Answer | None:
        """Answer, if a path matches."""
        for key, answer in self._answers:
            if visit.key.startswith(key):
                return answer
        return None
