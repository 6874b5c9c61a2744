"""What only some configurations need is imported before anything is served, by everybody.

A later configuration may be such a one, and by then the files on disk may be those of another version, or half of them.
dnspython is left out: 40 ms and 4 MB for each process, where the rest of a start has 250. It is imported as a whole by
the first configuration that asks the DNS, and one that can't be imported then is a reload that fails.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Final

MODULES: Final = (
    "re2",
    "bcrypt",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8_sig",
)


def import_all() -> None:
    """Import them; one that is not installed is nobody's."""
    for name in MODULES:
        with suppress(ImportError):
            import_module(name)
