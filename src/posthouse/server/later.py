"""What only some configurations need is imported before anything is served, by everybody.

A later configuration may be such a one, and by then the files on disk may be those of another version, or half of them.
It costs each process 40 ms of its start and 7 MB.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Final

MODULES: Final = (
    "re2",
    "bcrypt",
    "dns.asyncresolver",
    "dns.nameserver",
    "dns.resolver",
    # what these, and names of hosts, import when they are first used
    "dns._asyncio_backend",
    "encodings.idna",
    "idna",
    "sniffio",
)


def import_all() -> None:
    """Import them; one that is not installed is nobody's."""
    for name in MODULES:
        with suppress(ImportError):
            import_module(name)
