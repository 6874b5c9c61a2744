"""Which blocks are taken for unchanged. Whether that is true of all texts is asked in test_reuse.py."""

from __future__ import annotations

import pytest

from posthouse.caddyfile.lexer import lex
from posthouse.caddyfile.unchanged import Kept, Start, Unchanged, find_unchanged

OLD = "a.test {\n  x 1\n}\n\nb.test {\n  y\n}\nc.test {\n  z\n}\n"
STARTS = [Start(1, 1, 1), Start(5, 1, 1), Start(8, 1, 1)]


def found(new: str, old: str = OLD, starts: list[Start] = STARTS, *, can_import: bool = False) -> Unchanged:
    return find_unchanged(old, new, starts, can_import=can_import)


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        (OLD, [0, 1, 2]),
        (OLD.replace("x 1", "x 2"), [1, 2]),
        (OLD.replace("y", "yy\n yyy"), [0, 2]),
        (OLD.replace("z", "zz"), [0, 1]),
        (OLD + "d.test {\n}\n", [0, 1, 2]),
        ("# first\n" + OLD, [0, 1, 2]),
        ("# first\n" + OLD.replace("y", "yy") + "# last\n", [0, 2]),
        (OLD[OLD.index("b.") :] + OLD[: OLD.index("b.")], [0]),
        (OLD.replace("\n\n", "\n"), [0, 1, 2]),
        ("", []),
        (OLD.replace("\n", " "), []),
    ],
)
def test_what_is_kept(new: str, kept: list[int]) -> None:
    assert list(found(new).kept) == kept


def test_a_stand_in_has_the_place_and_the_lines_of_its_block() -> None:
    new = OLD.replace("x 1", "x 1\n  w")
    unchanged = found(new)
    assert unchanged.text == (
        "a.test {\n  x 1\n  w\n}\n\nposthouse-stand-in-1 {\n\n}\nposthouse-stand-in-2 {\n\n}\n"
    )
    closing = [token.place.line for token in lex(new, "f") if token.text == "}"]
    assert [token.place.line for token in lex(unchanged.text, "f") if token.text == "}"] == closing
    assert unchanged.kept == {1: Kept(5, 7, 1), 2: Kept(8, 10, 1)}
    assert [unchanged.line(line, unchanged.kept[1]) for line in (1, 5, 7, 8)] == [1, 6, 8, 9]


def test_the_change_may_touch_neither_end() -> None:
    """What stands in the same line, or directly behind, may mean something else."""
    assert list(found(OLD.replace("\nb.test", " b.test")).kept) == [0, 2]
    one_line = "a.test { x } b.test { y }\nc.test { z }\n"
    starts = [Start(1, 1, 1), Start(1, 14, 1), Start(2, 1, 1)]
    assert list(found(one_line.replace("x", "xx"), one_line, starts).kept) == [2]
    assert list(found(one_line.replace("x }", "x }}"), one_line, starts).kept) == [2]


@pytest.mark.parametrize(
    "block",
    ['a.test {\n "}" `}` # }\n a}b { {x }\n}', "a.test { # {\n}", "a.test \\\n {\n \\\n}"],
)
def test_braces_are_those_of_the_lexer(block: str) -> None:
    old = f"{block}\nb.test {{\n}}\n"
    unchanged = found(old + "#\n", old, [Start(1, 1, 1)])
    assert unchanged.text.replace("\n", "") == "posthouse-stand-in-0 {}b.test {}#"


@pytest.mark.parametrize(
    ("block", "addresses"),
    [
        ("a.test\nproxy / b {\n}", 1),  # without braces of its own
        ("a.test b.test {\n}", 1),
        ('"a.test" {\n}', 1),
        ("a.test {\n {$NAME}\n}", 1),
        ("a.test {\n {%NAME%}\n}", 1),
        ("a.test {\n import x\n}", 1),
        ("a.test {\n", 1),
        ("a.test {\n \"\n}", 1),
    ],
)  # fmt: skip
def test_what_is_never_kept(block: str, addresses: int) -> None:
    old = f"{block}\nb.test {{\n}}\n"
    assert found(old + "#\n", old, [Start(1, 1, addresses)]).kept == {}


def test_a_block_that_went_far_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.caddyfile.unchanged._AHEAD", 8)
    moved_to_the_end = OLD[OLD.index("b.") :] + OLD[: OLD.index("b.")]
    assert list(found("# 1\n" + moved_to_the_end).kept) == [1, 2]


def test_a_start_that_is_not_there() -> None:
    assert found(OLD, OLD, [Start(99, 1, 1)]).kept == {}


IMPORTS = "(s) {\n 1\n}\na.test {\n import s\n}\nb.test {\n x\n}\n"


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        (IMPORTS.replace("x", "xx"), [0]),
        (IMPORTS.replace("1", "2"), [1]),
        (IMPORTS.replace("x", '"x'), []),  # which might swallow a snippet
        (IMPORTS, [1]),
    ],
)
def test_imports_are_kept_where_all_of_the_change_is_in_one_block(new: str, kept: list[int]) -> None:
    assert list(found(new, IMPORTS, [Start(4, 1, 1), Start(7, 1, 1)], can_import=True).kept) == kept


def test_carriage_returns_and_a_byte_order_mark_do_not_count() -> None:
    assert list(found("\ufeff" + OLD.replace("\n", "\r\n")).kept) == [0, 1, 2]
