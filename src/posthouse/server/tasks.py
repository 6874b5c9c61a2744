"""Tasks: work that goes on by itself, held until it is done; what nobody caught in it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Of one object. Python holds running tasks only weakly, and tells of a lost exception when it collects garbage."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Tasks {len(self._running)}>"

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin it in the running loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._on_done)

    def cancel(self) -> None:
        """End what runs."""
        for task in self._running:
            task.cancel()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a task failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
