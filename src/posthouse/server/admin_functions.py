"""What the admin socket can be asked, put together: status, reload, upgrade, orders, metrics, health, readiness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from posthouse.admin.api import Report, Text
from posthouse.observe.exposition import media_type
from posthouse.proxy.answer import Answer
from posthouse.server.metrics_pages import PLAIN, Group, metrics_answer, state_answer


class Reporting(Protocol):
    """What is asked of `server.group_status.GroupStatus`."""

    async def status(self) -> Report: ...
    async def reload(self) -> Report: ...
    async def upgrade(self) -> Report: ...
    async def order(self, asked: Mapping[str, str]) -> Report: ...


class AdminFunctions:
    """See `admin.api.Functions`."""

    def __init__(self, reporting: Reporting, group: Group) -> None:
        self._reporting = reporting
        self._group = group

    async def status(self) -> Report:
        return await self._reporting.status()

    async def reload(self) -> Report:
        return await self._reporting.reload()

    async def upgrade(self) -> Report:
        return await self._reporting.upgrade()

    async def order(self, asked: Mapping[str, str]) -> Report:
        return await self._reporting.order(asked)

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
