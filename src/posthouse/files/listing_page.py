"""The page of a listing. Whatever a file is called, it is text on this page and nothing else."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

PIECE_ROWS: Final = 100
"""Made in one go, in half a millisecond."""


@dataclass(frozen=True, slots=True)
class Row:
    """A file or folder. `name` is text to be shown, `link` is relative and encoded; times are seconds since 1970."""

    name: str
    link: str
    size: int
    modified: float
    mode: int
    is_folder: bool
    is_link: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What the page shows.

    path        decoded, text from the wire
    limit       0 = all; is_cut: the folder has more than was looked at
    has_parent  whether the folder above is listed too
    """

    path: str
    rows: Sequence[Row]
    sort: str
    order: str
    limit: int
    is_cut: bool
    has_parent: bool


_STYLE = """\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.25rem;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884}
td:first-child{overflow-wrap:anywhere}
th:nth-child(n+2),td:nth-child(n+2){text-align:right;white-space:nowrap}
"""


def page(listing: Listing) -> Generator[None, None, bytes]:
    """The page, UTF-8; yields between pieces of PIECE_ROWS rows."""
    title = escape(listing.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    folders = sum(row.is_folder for row in listing.rows)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f"<p>{_count(folders, 'folder')}, {_count(len(listing.rows) - folders, 'file')}{_note(listing)}</p>\n",
        f"<table>\n<thead><tr>{_heads(listing)}</tr></thead>\n<tbody>\n",
    ]
    if listing.has_parent:
        parts.append('<tr><td><a href="../">..</a></td><td></td><td></td></tr>\n')
    for start in range(0, len(listing.rows), PIECE_ROWS):
        if start:
            yield
        parts += map(_line, listing.rows[start : start + PIECE_ROWS])
    parts.append("</tbody>\n</table>\n</body>\n</html>\n")
    return "".join(parts).encode("utf-8")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _note(listing: Listing) -> str:
    if listing.is_cut:
        return " (this folder has more; they are not shown)"
    if listing.limit and len(listing.rows) == listing.limit:
        return f" (at most {listing.limit} are shown)"
    return ""


def _heads(listing: Listing) -> str:
    heads = []
    for sort, text in (("name", "Name"), ("size", "Size"), ("time", "Modified")):
        is_current = listing.sort.startswith(sort)
        order = "desc" if is_current and listing.order == "asc" else "asc"
        mark = {"asc": " ↑", "desc": " ↓"}[listing.order] if is_current else ""
        limit = f"&amp;limit={listing.limit}" if listing.limit else ""
        name = "namedirfirst" if sort == "name" else sort
        heads.append(f'<th><a href="?sort={name}&amp;order={order}{limit}">{text}</a>{mark}</th>')
    return "".join(heads)


def _line(row: Row) -> str:
    name = escape(row.name) + ("/" if row.is_folder else "")
    size = "–" if row.is_folder else human_size(row.size)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(row.modified))
    return f'<tr><td><a href="{escape(row.link)}">{name}</a></td><td>{size}</td><td>{when} UTC</td></tr>\n'


def human_size(size: int) -> str:
    """ "512 B", "1.5 KiB": powers of 1024."""
    if size < 1024:
        return f"{size} B"
    number = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        number /= 1024
        if number < 1023.95 or unit == "PiB":
            break
    return f"{number:.1f} {unit}"
