"""Memory of a process that serves: what the garbage collector looks at, and what the allocator keeps."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

KEPT_BYTES: Final = 1 << 20
"""Freed memory at the end of the heap that the process keeps: room for the pieces of a body in several copies."""
MAPPED_FROM_BYTES: Final = 384 << 10
"""Blocks from this size on get a mapping of their own, which goes back to the system when they are freed.

Above what the event loop reads at once with a head before it; not by much, because what lives longer than a turn
(bodies kept for another attempt) would leave holes in the heap. The buffers of pumps are not the heap's business
(net/reactor.py)."""

MANY_SITES: Final = 200
"""A reload that builds so many makes more objects than the collector should look at again and again: 300 for each."""

# malloc.h of glibc.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def settle() -> None:
    """What was made to start lives on: later collections need not look at it.

    Nothing is collected first: with 5,000 sites that takes most of a second, in which nobody would be answered, and
    what imports and parsing leave behind is a few hundred KiB.
    """
    gc.freeze()
    # The request path makes no cycles; with the default of 700 the collector would look at the memos all the time.
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def settle_new(sites: int) -> None:
    """After a reload that has built so many sites. Nothing is collected, which would stop everything for most of a
    second where the configuration is large. What was built leaves no cycles (`Generation.on_last_finished`), so it is
    freed with the last exchange on it, whether the collector looks at it or not."""
    if sites >= MANY_SITES:
        gc.freeze()


@contextmanager
def no_collections() -> Iterator[None]:
    """While a configuration is read beside what serves: a large one is half a million objects, none of them in a cycle,
    and the collector would look at all of them, and stop everything, as soon as it could.

    What is garbage already is collected first, or it would be frozen with the rest and never be freed: each connection
    of a health check leaves a cycle in asyncio. What the time before froze is not looked at, so that this is quick."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def resident() -> int:
    """Bytes of memory that the process occupies now; 0 where the system does not tell (no /proc)."""
    global _statm
    try:
        if _statm < 0:
            _statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        return int(os.pread(_statm, 128, 0).split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


_statm = -1
"""Kept open: it is asked each second, also when no descriptor is left."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def give_back() -> bool:
    """Give what is free in the middle of the heap back to the system. False where the allocator is not glibc's."""
    import ctypes

    gc.collect()
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError):
        return False


def keep_freed() -> bool:
    """Have the allocator keep memory that will be wanted again in a moment. False where it is not glibc's.

    The event loop reads into a new block of 250 KiB each time, and such a piece of an upload is copied once or twice
    on its way. glibc gives memory back as soon as 512 KiB are free at the end of its heap, so every upload gave it
    back and asked for it again: 90 page faults and a quarter of its CPU time per MiB. Both limits are set, because
    setting one stops glibc from moving the other; by itself it would let them grow to 64 and 32 MiB.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))
