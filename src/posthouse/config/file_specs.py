"""Frozen data of the static file server: `root`, `index`, `browse`."""

from __future__ import annotations

from dataclasses import dataclass, field

from posthouse.errors import NOWHERE, Place

DEFAULT_INDEX = ("index.html", "index.htm", "index.txt", "default.html", "default.htm", "default.txt")
"""As in v1."""


@dataclass(frozen=True, slots=True)
class FilesSpec:
    """A site that serves files; from which folder says SiteSpec.root.

    index         names of the files that stand for a folder, in the order tried
    browse        path prefixes of the folders that are listed
    has_dotfiles  whether names that begin with a dot are there
    hidden        files that the configuration was read from: never there, wherever they lie
    """

    index: tuple[str, ...] = DEFAULT_INDEX
    browse: tuple[str, ...] = ()
    has_dotfiles: bool = False
    hidden: tuple[str, ...] = ()
    place: Place = field(default=NOWHERE, compare=False)
