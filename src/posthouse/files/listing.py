"""Listings: what is in a folder, in the order that the query asks for (`browse`).

A large folder takes some 20 ms. It is listed in pieces of about one, each in a turn of its own (`server/turns.py`), so
that nobody else waits for it.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast
from urllib.parse import parse_qsl, quote

from posthouse.files.dates import LAST_SECOND
from posthouse.files.folder import NOT_FOUND, Folder, refusal
from posthouse.files.listing_page import PIECE_ROWS, Listing, Row, page
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead
from posthouse.protocol.target import SAFE_IN_PATH
from posthouse.proxy.answer import WAIT, Answer, Visit, Wait

MOST_ENTRIES: Final = 2000
"""That are looked at. Each takes about 10 µs to its line on the page."""

Work = Generator[None, None, Answer]
"""The making of a listing: it yields between its pieces."""
Later = Callable[[float, Callable[[], None]], object]

_SORTS: Final = ("namedirfirst", "name", "size", "time")
_ORDERS: Final = ("asc", "desc")
_LIMIT: Final = re.compile(r"[0-9]{1,9}")
_MOST_FIELDS: Final = 64
"""Of a query; browsers send three."""

# As Go has them, whose JSON v1 sent.
_GO_FOLDER: Final = 1 << 31
_GO_LINK: Final = 1 << 27

_PAGE: Final = (
    Field(b"Content-Type", b"text/html; charset=utf-8"),
    Field(b"Vary", b"Accept"),
    # Names come from whoever fills the folder. They are escaped; should that ever fail, nothing runs.
    Field(b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"),
    Field(b"X-Content-Type-Options", b"nosniff"),
)
_JSON: Final = (
    Field(b"Content-Type", b"application/json; charset=utf-8"),
    Field(b"Vary", b"Accept"),
    Field(b"X-Content-Type-Options", b"nosniff"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the query asks for; limit 0 = all."""

    sort: str = _SORTS[0]
    order: str = _ORDERS[0]
    limit: int = 0


def read_wish(query: bytes) -> Wish | None:
    """`?sort=name|namedirfirst|size|time&order=asc|desc&limit=N`; None if the limit is no number, as in v1."""
    try:
        pairs = parse_qsl(query[1:].decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return Wish()
    given = dict(reversed(pairs))
    sort, order, limit = (given.get(name, "") for name in ("sort", "order", "limit"))
    if limit and _LIMIT.fullmatch(limit) is None:
        return None
    return Wish(
        sort if sort in _SORTS else _SORTS[0], order if order in _ORDERS else _ORDERS[0], int(limit or 0)
    )


class Listings:
    """`browse` of a site: which folders are listed, and how.

    scopes      paths as matchers compare them: folders whose path begins so
    call_later  calls what is to be done in a later turn of the event loop (seconds, callback)
    """

    __slots__ = ("_call_later", "_scopes")

    def __init__(self, scopes: Sequence[str], call_later: Later) -> None:
        self._scopes = tuple(scopes)
        self._call_later = call_later

    def has(self, key: str) -> bool:
        """Whether a folder is listed, by its path as matchers compare it."""
        return key.startswith(self._scopes)

    def answer(self, folder: Folder, visit: Visit, head: RequestHead) -> Answer | Wait:
        """The listing of the folder `visit.path`: a page, or JSON for who accepts that.

        WAIT: there is more than one piece of work; it is done in turns, as long as anybody waits for it.
        """
        wish = read_wish(visit.query)
        if wish is None:
            return Answer(400)
        name = folder.locate(visit.path)
        if name is None:
            return NOT_FOUND
        work = self._work(folder, name, wish, visit, head)
        try:
            next(work)
        except StopIteration as end:
            return cast(Answer, end.value)
        except OSError as error:
            return refusal(error)
        self._call_later(0.0, partial(self._go_on, work, visit))
        return WAIT

    def _go_on(self, work: Work, visit: Visit) -> None:
        if visit.is_finished:
            work.close()
            return
        try:
            next(work)
        except StopIteration as end:
            visit.resume(end.value)
        except BaseException:
            visit.resume(Answer(500, cause="the listing could not be made"))
            raise
        else:
            self._call_later(0.0, partial(self._go_on, work, visit))

    def _work(self, folder: Folder, name: bytes, wish: Wish, visit: Visit, head: RequestHead) -> Work:
        rows: list[Row] = []
        is_cut = yield from scan(folder, name, rows)
        rows = ordered(rows, wish)
        if b"application/json" in (head.fields.value(b"accept") or b"").lower():
            return Answer(200, _JSON, (yield from as_json(rows)))
        parent = visit.key.rstrip("/").rpartition("/")[0] + "/"
        has_parent = visit.key != "/" and self.has(parent)
        listing = Listing(visit.path, rows, wish.sort, wish.order, wish.limit, is_cut, has_parent)
        return Answer(200, _PAGE, (yield from page(listing)))


def scan(folder: Folder, name: bytes, rows: list[Row]) -> Generator[None, None, bool]:
    """Add what is to be seen in a folder, in no order, PIECE_ROWS at a time; whether there is more than that.

    Raises OSError before the first piece only: what cannot be read later is more than was looked at.
    """
    with os.scandir(name) as entries:
        for number in range(MOST_ENTRIES):
            if number and not number % PIECE_ROWS:
                yield
            try:
                entry = next(entries, None)
            except OSError:
                if not number:
                    raise
                return True
            if entry is None:
                return False
            try:
                status = entry.stat()
            except OSError:
                continue  # a link that leads nowhere, or just removed
            if folder.is_shown(entry.path, status):
                rows.append(_row(entry, status))
        return next(entries, None) is not None


def _row(entry: os.DirEntry[bytes], status: os.stat_result) -> Row:
    is_folder = stat.S_ISDIR(status.st_mode)
    # "./" because a name may hold a colon, and would else be read as a scheme.
    link = "./" + quote(entry.name, safe=SAFE_IN_PATH) + ("/" if is_folder else "")
    shown = entry.name.decode("utf-8", "replace")
    is_link = entry.is_symlink()
    modified = min(max(status.st_mtime, 0.0), LAST_SECOND)
    return Row(shown, link, status.st_size, modified, stat.S_IMODE(status.st_mode), is_folder, is_link)


def ordered(rows: list[Row], wish: Wish) -> list[Row]:
    """Sorted as v1 did: names in any letter case, folders before files but by name and by time."""

    def rank(row: Row) -> tuple[bool, float, str]:
        name = row.name.lower()
        if wish.sort == "time":
            return False, row.modified, name
        if wish.sort == "size":
            return not row.is_folder, 0 if row.is_folder else row.size, name
        return wish.sort == "namedirfirst" and not row.is_folder, 0, name

    found = sorted(rows, key=rank, reverse=wish.order == "desc")
    return found[: wish.limit] if wish.limit else found


def as_json(rows: Sequence[Row]) -> Generator[None, None, bytes]:
    """The rows under the names that v1 gave them, PIECE_ROWS at a time."""
    texts: list[str] = []
    for number, row in enumerate(rows):
        if number and not number % PIECE_ROWS:
            yield
        texts.append(json.dumps(_item(row), separators=(",", ":")))
    return f"[{','.join(texts)}]".encode("ascii")


def _item(row: Row) -> dict[str, str | int | bool]:
    return {
        "Name": row.name,
        "Size": row.size,
        "URL": row.link,
        "ModTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.modified)),
        "Mode": row.mode | (_GO_FOLDER if row.is_folder else 0) | (_GO_LINK if row.is_link else 0),
        "IsDir": row.is_folder,
        "IsSymlink": row.is_link,
    }
