"""Files and snippets in place of `import`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.caddyfile import imports
from posthouse.caddyfile.parser import Parsed
from unit.caddyfile.memory_files import MAIN

Parse = Callable[..., Parsed]
Shape = Callable[[Parsed], list[list[list[str]]]]
Complaints = Callable[[Parsed], list[str]]

PROXY = ["proxy", "/", "x"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("import part", "a.test {\n proxy / x\n}"),
        ("import part", "a.test\nproxy / x"),
        ("a.test {\n import part\n}", "proxy / x"),
        ("a.test { import part }", "proxy / x"),
        ("a.test\nimport part", "proxy / x\n"),
        ("import part\n{\n proxy / x\n}", "a.test"),
        ("a.test {\n import {$PART}\n}", "proxy / x # no line break at the end"),
        ('a.test {\n import "part"\n}', "\ufeffproxy / x\r\n"),
    ],
)
def test_a_file_takes_the_place_of_its_import(text: str, part: str, parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files(text, {"part": part}, PART="part")
    assert parsed.mistakes == ()
    assert shape(parsed) == [[["a.test"], PROXY]]


@pytest.mark.parametrize(
    "text",
    [
        "a.test { proxy / x {\n import part\n} }",
        "a.test { proxy / x { import part } }",
        "(s) {\n websocket\n}\na.test { proxy / x {\n import s\n} }",
        "(s) { websocket }\na.test { proxy / x { import s } }",
        "(s) { proxy / x { import part } }\na.test {\n import s\n}",
    ],
)
def test_imports_in_a_block_of_properties(text: str, parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files(text, {"part": "websocket"})
    assert parsed.mistakes == ()
    assert shape(parsed) == [[["a.test"], [*PROXY, "{", "websocket", "}"]]]


def test_an_imported_line_is_a_line_of_its_own(parse_files: Parse) -> None:
    parsed = parse_files("(s) { max_fails 3 }\na.test { proxy / x {\n import s\n websocket\n} }")
    tokens = parsed.blocks[0].directives[0].tokens
    assert [token.text for token in tokens if token.is_first] == ["max_fails", "websocket", "}"]


def test_import_is_a_word_like_others_elsewhere(parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files('a.test { log import\nproxy / x { except /a import\n"import" b } }')
    assert parsed.mistakes == ()
    assert shape(parsed)[0][1:] == [
        ["log", "import"],
        [*PROXY, "{", "except", "/a", "import", "import", "b", "}"],
    ]


def test_a_glob_brings_its_files_in_sorted_order(parse_files: Parse, shape: Shape) -> None:
    files = {"sites/b.conf": "b.test { }", "sites/a.conf": "a.test { }", "sites/c.txt": "c.test { }"}
    parsed = parse_files("import sites/*.conf\nd.test { }", files)
    assert parsed.mistakes == ()
    assert shape(parsed) == [[["a.test"]], [["b.test"]], [["d.test"]]]


def test_files_of_one_glob_may_import_each_other(parse_files: Parse, shape: Shape) -> None:
    files = {"d/a.conf": "a.test { import log.inc }", "d/b.conf": "b.test { import log.inc }"}
    parsed = parse_files("import d/?.conf", {**files, "d/log.inc": "log x"})
    assert parsed.mistakes == ()
    assert shape(parsed) == [[["a.test"], ["log", "x"]], [["b.test"], ["log", "x"]]]
    parsed = parse_files("import d/*.conf", {"d/a.conf": "import b.conf", "d/b.conf": "b.test { }"})
    assert parsed.mistakes == ()
    assert shape(parsed) == [[["b.test"]], [["b.test"]]]


def test_names_are_relative_to_the_file_of_the_word(parse_files: Parse, shape: Shape) -> None:
    files = {
        "conf/snippets": "(log) { import deep/log }",
        "conf/deep/log": "log here",
        "deep/log": "log wrong",
    }
    parsed = parse_files("import conf/snippets\na.test { import log }", files)
    assert parsed.mistakes == ()
    assert shape(parsed) == [[["a.test"], ["log", "here"]]]
    assert str(parsed.blocks[0].directives[0].name.place) == "conf/deep/log:1:1"


def test_an_absolute_name_stays(parse_files: Parse, shape: Shape) -> None:
    files = {"conf/a": "import /etc/b", "/etc/b": "b.test { }"}
    assert shape(parse_files("import conf/a", files)) == [[["b.test"]]]


def test_a_snippet_wins_over_a_file(parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files("(part) { log snippet }\na.test { import part }", {"part": "log file"})
    assert shape(parsed) == [[["a.test"], ["log", "snippet"]]]


def test_a_snippet_may_come_from_an_imported_file(parse_files: Parse, shape: Shape) -> None:
    parsed = parse_files("import s.conf\na.test { import s }", {"s.conf": "(s)\n{\n log x\n}"})
    assert shape(parsed) == [[["a.test"], ["log", "x"]]]


def test_a_glob_without_matches_is_a_notice(parse_files: Parse) -> None:
    parsed = parse_files("import sites/*\na.test { }")
    assert parsed.mistakes == ()
    assert [(str(one.place), one.message) for one in parsed.notices] == [
        (f"{MAIN}:1:8", "no file matches `sites/*`")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import nothing.conf", "1:8 found neither a file nor a snippet called `nothing.conf`"),
        ("import", "1:1 `import` needs the name of a file, a pattern or a snippet: found nothing"),
        ("import a b", "1:10 `import` takes one argument: found `b` too"),
        ("import {$NONE}", "1:8 `import` needs a name: `{$NONE}` is empty"),
        ("import part { x }", "1:13 found `{` after `import`, expected the end of the line"),
        ("import */*", "1:8 a pattern of `import` has at most one `*` and one `?`: found `*/*`"),
        ("import ??", "1:8 a pattern of `import` has at most one `*` and one `?`: found `??`"),
        ("import [ab]", "1:8 a pattern of `import` has no `[`: found `[ab]`"),
        ("import forbidden", "1:8 cannot read `forbidden`: Permission denied"),
        ("import binary", "1:8 cannot read `binary`: it is not UTF-8"),
        ("a.test { import part x }", "1:22 `import` takes one argument: found `x` too"),
    ],
)
def test_mistakes_of_the_statement(
    text: str, expected: str, parse_files: Parse, complaints: Complaints
) -> None:
    assert complaints(parse_files(text, {"part": "log x"})) == [f"{MAIN}:{expected}"]


def test_a_misspelt_snippet_gets_its_name(parse_files: Parse) -> None:
    parsed = parse_files("(logging) { log x }\na.test { import loging }")
    assert [one.hint for one in parsed.mistakes] == ["did you mean `logging`?"]


def test_a_snippet_comes_before_its_use(parse_files: Parse) -> None:
    parsed = parse_files("a.test { import s }\n(s) { log x }")
    assert [one.hint for one in parsed.mistakes] == ["a snippet must come before its use"]


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        ("import Caddyfile", {MAIN: "import Caddyfile"}, [f"{MAIN}:1 → {MAIN}"]),
        (
            "\nimport a",
            {"a": "import b", "b": "\n\nimport a"},
            [f"{MAIN}:2 → a:1 → b:3 → a"],
        ),
        ("(s) {\n import s\n}\na.test { import s }", {}, [f"{MAIN}:4 → {MAIN}:2 → (s)"]),
        ("import d/*", {"d/a": "import *"}, [f"{MAIN}:1 → d/a:1 → d/a"]),
    ],
)
def test_a_cycle_is_found_with_its_chain(
    text: str, files: dict[str, str], expected: list[str], parse_files: Parse, complaints: Complaints
) -> None:
    found = complaints(parse_files(text, files))
    assert [line.partition("never ends: ")[2] for line in found] == expected


def test_depth_is_bounded(parse_files: Parse, complaints: Complaints) -> None:
    """A chain of distinct names, as a loop of symbolic links would show it."""

    def chain(length: int) -> list[str]:
        files = {str(number): f"import {number + 1}" for number in range(1, length)}
        return complaints(parse_files("import 1", {**files, str(length): "a.test { }"}))

    assert chain(imports.MAX_DEPTH) == []
    assert [line.partition(" ")[2] for line in chain(imports.MAX_DEPTH + 1)] == [
        "imports within imports more than 32 deep"
    ]


def test_snippets_that_multiply_are_stopped(
    parse_files: Parse, monkeypatch: pytest.MonkeyPatch, complaints: Complaints
) -> None:
    monkeypatch.setattr(imports, "MAX_TOKENS", 5_000)
    levels = "".join(f"(s{n}) {{\nimport s{n - 1}\nimport s{n - 1}\n}}\n" for n in range(1, 30))
    parsed = parse_files(f"(s0) {{ log x }}\n{levels}a.test {{ import s29 }}")
    assert [line.partition(" ")[2] for line in complaints(parsed)] == [
        "with everything imported the configuration has more than 5000 words"
    ]


def test_size_is_bounded(parse_files: Parse, monkeypatch: pytest.MonkeyPatch, complaints: Complaints) -> None:
    monkeypatch.setattr(imports, "MAX_SIZE", 1 << 20)
    part = "#" * (1 << 19)
    assert complaints(parse_files("import a", {"a": part})) == []
    # A file that is imported twice counts once; two files count both.
    assert complaints(parse_files("import a\nimport a", {"a": part})) == []
    assert complaints(parse_files("import a\nimport b", {"a": part, "b": part})) == [
        f"{MAIN}:2:8 the configuration has more than 1 MB of text"
    ]


def test_each_file_is_judged_once(parse_files: Parse, complaints: Complaints) -> None:
    parsed = parse_files("a.test { import p }\nb.test { import p }", {"p": "log x {"})
    assert [line.split(" ")[0] for line in complaints(parsed)] == ["p:1:7"]


def test_a_file_can_neither_open_nor_close_a_block_of_another(
    parse_files: Parse, complaints: Complaints
) -> None:
    parsed = parse_files("a.test {\n import open\n import close\n}", {"open": "proxy / x {", "close": "}"})
    assert [line.split(" ")[0] for line in complaints(parsed)] == ["open:1:11", "close:1:1"]
