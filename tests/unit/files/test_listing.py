"""What is listed, in which order, and in which form."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.files import listing
from posthouse.files.folder import Folder
from posthouse.files.listing import Listings, Wish, ordered, read_wish, scan
from posthouse.files.listing_page import PIECE_ROWS, Row
from posthouse.proxy.answer import WAIT, Answer
from unit.files.asking import ask_head, field, visit_of


@pytest.mark.parametrize(
    ("query", "wish"),
    [
        (b"", Wish()),
        (b"?", Wish("namedirfirst", "asc", 0)),
        (b"?sort=size&order=desc&limit=10", Wish("size", "desc", 10)),
        (b"?sort=time", Wish("time")),
        (b"?sort=name&sort=size", Wish("name")),
        (b"?sort=%3Cscript%3E&order=up", Wish()),
        (b"?limit=0", Wish()),
        (b"?limit=", Wish()),
        (b"?limit=ten", None),
        (b"?limit=-1", None),
        (b"?limit=1_0", None),
        (b"?" + b"a=b&" * 100 + b"sort=size", Wish()),
    ],
)
def test_what_the_query_asks_for(query: bytes, wish: Wish | None) -> None:
    assert read_wish(query) == wish


def row(name: str, size: int = 0, modified: float = 0, is_folder: bool = False) -> Row:
    return Row(name, "./" + name, size, modified, 0o644, is_folder, False)


ROWS = [row("b", 3, 2), row("Z", 0, 9, True), row("A", 5, 1), row("c", 1, 3), row("d", 99, 0, True)]


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (Wish(), "dZAbc"),
        (Wish(order="desc"), "cbAZd"),
        (Wish("name"), "AbcdZ"),
        (Wish("size"), "dZcbA"),
        (Wish("size", "desc"), "AbcZd"),
        (Wish("time"), "dAbcZ"),
        (Wish("name", limit=2), "Ab"),
        (Wish("name", limit=9), "AbcdZ"),
    ],
)
def test_orders(wish: Wish, names: str) -> None:
    assert "".join(one.name for one in ordered(ROWS, wish)) == names


def filled(www: Path) -> Folder:
    (www / "sub").mkdir()
    (www / "a:b <i>&.txt").write_bytes(b"12345")
    os.utime(www / "a:b <i>&.txt", (86400, 86400))
    (www / ".hidden").touch()
    (www / "Caddyfile").touch()
    (www / "up").symlink_to("..")
    (www / "broken").symlink_to("nowhere")
    os.mkfifo(www / "fifo")
    return Folder(str(www), hidden=[str(www / "Caddyfile")])


class Turns:
    """The turns of the event loop: what was asked to be done in a later one."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.count = 0

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        assert seconds == 0.0
        self.waiting.append(callback)

    def turn(self) -> None:
        (callback,) = self.waiting
        self.waiting.clear()
        self.count += 1
        callback()


def asked(
    folder: Folder,
    target: str = "/",
    *lines: str,
    scopes: tuple[str, ...] = ("/",),
    turns: Turns | None = None,
) -> Answer:
    head = ask_head(target, *lines)
    turns = turns or Turns()
    visit: Any = visit_of(head)
    answer = Listings(scopes, turns.later).answer(folder, visit, head)
    while turns.waiting:
        assert answer is WAIT and not visit.resumed
        turns.turn()
        if visit.resumed:
            (answer,) = visit.resumed
    assert isinstance(answer, Answer)
    return answer


def scanned(www: Path, folder: Folder | None = None) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    work = scan(folder or Folder(str(www)), os.fsencode(www), rows)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return rows, end.value


def test_only_what_would_be_served_is_listed(www: Path) -> None:
    rows, is_cut = scanned(www, filled(www))
    assert sorted(one.name for one in rows) == ["a:b <i>&.txt", "sub", "up"]
    assert not is_cut


def test_json_as_v1_sent_it(www: Path) -> None:
    folder = filled(www)
    os.chmod(www / "a:b <i>&.txt", 0o640)
    answer = asked(folder, "/?sort=name", "Accept: text/html, Application/JSON")
    assert field(answer, b"Content-Type") == b"application/json; charset=utf-8"
    assert field(answer, b"Vary") == b"Accept"
    assert isinstance(answer.body, bytes)
    items: list[dict[str, Any]] = json.loads(answer.body)
    assert items[0] == {
        "Name": "a:b <i>&.txt",
        "Size": 5,
        "URL": "./a:b%20%3Ci%3E&.txt",
        "ModTime": "1970-01-02T00:00:00Z",
        "Mode": 0o640,
        "IsDir": False,
        "IsSymlink": False,
    }
    assert [(one["URL"], one["IsDir"], one["IsSymlink"]) for one in items[1:]] == [
        ("./sub/", True, False),
        ("./up/", True, True),
    ]
    assert items[1]["Mode"] >> 31 == 1
    assert items[2]["Mode"] >> 27 & 1 == 1


def test_the_page(www: Path) -> None:
    answer = asked(filled(www))
    assert answer.status == 200
    assert field(answer, b"Content-Type") == b"text/html; charset=utf-8"
    assert b"default-src 'none'" in (field(answer, b"Content-Security-Policy") or b"")
    assert isinstance(answer.body, bytes)
    assert b"<i>" not in answer.body
    assert b'<a href="./a:b%20%3Ci%3E&amp;.txt">a:b &lt;i&gt;&amp;.txt</a>' in answer.body


@pytest.mark.parametrize(
    ("target", "scopes", "has_parent"),
    [
        ("/", ("/",), False),
        ("/sub/", ("/",), True),
        ("/sub/", ("/sub",), False),
        ("/sub/sub/", ("/sub",), True),
        ("/sub/", ("/x", "/"), True),
    ],
)
def test_the_way_up(www: Path, target: str, scopes: tuple[str, ...], has_parent: bool) -> None:
    (www / "sub" / "sub").mkdir(parents=True)
    body = asked(Folder(str(www)), target, scopes=scopes).body
    assert isinstance(body, bytes)
    assert (b'href="../"' in body) == has_parent


def test_which_folders_are_listed() -> None:
    listings = Listings(["/a", "/b/c"], Turns().later)
    assert [key for key in ("/", "/a", "/a/", "/ax", "/b", "/b/c/") if listings.has(key)] == [
        "/a",
        "/a/",
        "/ax",
        "/b/c/",
    ]


def test_a_large_folder_is_cut(www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_ENTRIES", 3)
    for number in range(3):
        (www / f"{number}").touch()
    assert scanned(www)[1] is False
    (www / ".unseen").touch()
    rows, is_cut = scanned(www)
    assert is_cut and len(rows) <= 3
    body = asked(Folder(str(www))).body
    assert isinstance(body, bytes)
    assert b"this folder has more" in body


def test_odd_names_and_times(www: Path) -> None:
    (www / os.fsdecode(b"\xff\n.txt")).touch()
    os.utime(www / os.fsdecode(b"\xff\n.txt"), (1e12, 1e12))
    (www / "\"'><script>").touch()
    os.utime(www / "\"'><script>", (-5, -5))
    [first, second] = ordered(scanned(www)[0], Wish("time"))
    assert (first.modified, second.modified > 1e10) == (0, True)
    assert second.link == "./%FF%0A.txt"
    for lines in ((), ("Accept: application/json",)):
        body = asked(Folder(str(www)), "/", *lines).body
        assert isinstance(body, bytes)
        body.decode("utf-8")
        assert b"<script>" not in body or lines


def test_what_cannot_be_listed(www: Path) -> None:
    folder = Folder(str(www))
    assert asked(folder, "/?limit=x").status == 400
    assert asked(folder, "/nothing/").status == 404
    assert asked(folder, "/.hidden/").status == 404


@pytest.mark.parametrize("lines", [(), ("Accept: application/json",)])
@pytest.mark.parametrize(("count", "turns"), [(PIECE_ROWS - 1, 0), (3 * PIECE_ROWS, 5)])
def test_a_large_folder_is_listed_in_pieces(
    www: Path, lines: tuple[str, ...], count: int, turns: int
) -> None:
    for number in range(count):
        (www / f"{number:04}.txt").touch()
    taken = Turns()
    body = asked(Folder(str(www)), "/", *lines, turns=taken).body
    assert isinstance(body, bytes)
    assert body.count(b".txt") == 2 * count
    assert body.index(b"0000.txt") < body.index(f"{count - 1:04}.txt".encode())
    assert taken.count == turns


def begun(www: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Turns]:
    """A listing of which the first piece is made."""
    monkeypatch.setattr(listing, "PIECE_ROWS", 1)
    for name in "abc":
        (www / name).touch()
    visit: Any = visit_of(head := ask_head())
    turns = Turns()
    assert Listings(["/"], turns.later).answer(Folder(str(www)), visit, head) is WAIT
    return visit, turns


def test_for_nobody_no_more_is_listed(www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    visit, turns = begun(www, monkeypatch)
    visit.is_finished = True
    turns.turn()
    assert (turns.waiting, visit.resumed) == ([], [])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_bug_on_the_way_leaves_nobody_waiting(www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visit, turns = begun(www, monkeypatch)

    def bug(*args: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr(listing, "_row", bug)
    with pytest.raises(RuntimeError, match="bug"):
        turns.turn()
    assert [answer.status for answer in visit.resumed] == [500]
