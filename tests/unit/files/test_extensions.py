from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from posthouse.files.extensions import Extensions
from posthouse.files.folder import Folder
from unit.files.asking import ask_head, visit_of


def retargeted(folder: Folder, target: str, *endings: str) -> bytes | None:
    """Where the step sends a request, None if it leaves it."""
    visit: Any = visit_of(ask_head(target))
    found: list[bytes] = []
    visit.retarget = found.append
    Extensions(folder, endings).act(visit)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/about", b"/about.html"),
        ("/about?x=1", b"/about.html?x=1"),
        ("/sub/page", b"/sub/page.htm"),
        ("/both", b"/both.html"),
        ("/a%20b", b"/a%20b.html"),
        ("//about", b"//about.html"),
        ("/index", b"/index/home.html"),
        ("/", None),
        ("/sub/", None),
        ("/about/", None),
        ("/about.html", None),
        ("/a.b", None),
        ("/missing", None),
        ("/folder", None),
        ("/.hidden", None),
        ("/ABOUT", None),
    ],
)
def test_the_first_that_is_a_file(www: Path, target: str, expected: bytes | None) -> None:
    for folder in ("sub", "folder.html", "index"):
        (www / folder).mkdir()
    for name in (
        "about.html",
        "sub/page.htm",
        "both.html",
        "both.htm",
        "a b.html",
        "a.b.html",
        ".hidden.html",
    ):
        (www / name).touch()
    (www / "index" / "home.html").touch()
    assert retargeted(Folder(str(www)), target, ".html", ".htm", "/home.html") == expected
