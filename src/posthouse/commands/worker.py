"""The worker's process, started by the supervisor: `python -m posthouse.commands.worker DESCRIPTOR`. Not for people.

The descriptor is its end of the channel; everything else comes through that.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence

from posthouse.commands.ending import end
from posthouse.commands.report import complain
from posthouse.errors import StartError

DONE, FAILED, WRONG_USAGE = 0, 1, 2

_FOR_THE_SUPERVISOR = ("INT", "QUIT", "TERM", "HUP", "USR1", "USR2", "PIPE")
"""Signals that a terminal or a service manager sends to the whole group; the supervisor says what is to be done."""


def main(words: Sequence[str]) -> int:
    """Serve; the exit code."""
    # Starting makes only what stays: collecting on the way costs a tenth of the time. The worker turns it on.
    gc.disable()
    for name in _FOR_THE_SUPERVISOR:
        signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_IGN)
    try:
        connection = socket.socket(fileno=int(words[0]))
    except (IndexError, ValueError, OSError):
        complain("a worker is started by `posthouse run`, not by hand")
        return WRONG_USAGE
    from posthouse.server.channel import greet
    from posthouse.server.control import Welcome
    from posthouse.server.process import Process

    try:
        welcome = greet(connection)
        assert isinstance(welcome, Welcome)
        return Process(welcome, connection, os.environ.get("POSTHOUSE_LOOP", "")).serve()
    except (EOFError, OSError):  # the supervisor has ended meanwhile, and has said why
        return DONE
    except (StartError, ValueError) as error:
        complain(f"worker: {error}")
        return FAILED


if __name__ == "__main__":
    end(main(sys.argv[1:]))
