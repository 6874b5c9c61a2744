"""Bugs: an exception that nobody caught becomes one line of the log, with its place. What it happened on is gone."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

from posthouse.observe.process_log import ProcessLog


def teller(
    log: ProcessLog, rest: Callable[[], None] | None = None
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """What an event loop takes for its exception handler.

    rest  called when the kernel has no descriptor left; None: that is only told
    """

    def tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            if rest is not None:
                rest()
            else:
                log.error("no descriptor left for a further connection", error=os.strerror(error.errno))
            return
        if isinstance(error, ValueError) and "_start_serving" in context.get("message", ""):
            return  # asyncio wanted to go on accepting a second after that, and accepting rests
        where = ""
        trace = error.__traceback__ if isinstance(error, BaseException) else None
        while trace is not None:
            where = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
            trace = trace.tb_next
        log.error(
            "internal error", key=where, message=context.get("message", ""), error=repr(error), where=where
        )

    return tell
