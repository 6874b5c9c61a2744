"""The end of a process."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn


def end(code: int) -> NoReturn:
    """End the process now: neither a thread that waits for a name server nor a transport can hold it up.

    A profiler or debugger that is to write its findings at exit gets the long way.
    """
    if sys.getprofile() is None and sys.gettrace() is None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it
                stream.flush()
        os._exit(code)
    sys.exit(code)
