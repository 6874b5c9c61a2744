"""What the admin socket can be asked, put together: status, metrics, health, readiness."""

from __future__ import annotations

from collections.abc import Callable

from posthouse.admin.api import Report, Text
from posthouse.observe.exposition import media_type
from posthouse.proxy.answer import Answer
from posthouse.server.metrics_pages import PLAIN, Group, metrics_answer, state_answer


class AdminFunctions:
    """See `admin.api.Functions`. report: what `GET /status` says."""

    def __init__(self, report: Callable[[], Report], group: Group) -> None:
        self._report = report
        self._group = group

    def status(self) -> Report:
        return self._report()

    async def metrics(self, accept: bytes | None) -> Text:
        return _text(await metrics_answer(self._group, media_type(accept)))

    def health(self) -> Text:
        return _text(state_answer(self._group, is_about_ready=False))

    def ready(self) -> Text:
        return _text(state_answer(self._group, is_about_ready=True))


def _text(answer: Answer) -> Text:
    """The same answer without a site around it."""
    if not isinstance(answer.body, bytes):
        return Text(answer.status, PLAIN.decode(), answer.cause.encode() + b"\n")
    kind = next(field.value for field in answer.fields if field.lower == b"content-type")
    return Text(answer.status, kind.decode(), answer.body)
