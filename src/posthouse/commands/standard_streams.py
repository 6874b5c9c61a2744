"""The three standard descriptors, which whoever starts us may have closed (`2>&-`)."""

from __future__ import annotations

import os
import sys

STDIN, STDOUT, STDERR = 0, 1, 2


def occupy() -> None:
    """See to it that no socket of ours gets one of these numbers, and that there is a stderr.

    Else what is written to "stderr" would go to a client, and a worker would take the channel that we lend it for its
    own stderr. A closed stderr takes all lines and keeps none, here and in the workers, so that we serve without one. A
    closed stdout stays closed to the workers: who wants logs there is told that it is.
    """
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
            os.set_inheritable(number, number != STDOUT)
    if sys.__stderr__ is None:
        nowhere = open(STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as we live
        sys.stderr = nowhere
        sys.__stderr__ = nowhere  # type: ignore[misc]
