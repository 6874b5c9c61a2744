"""A directive's words, taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.parser import parse
from unit.caddyfile.memory_files import MAIN, read_from

TABLE = {
    "policy": Arity(1, 2),
    "health_check": Arity(1, 1),
    "max_fails": Arity(1, 1),
    "except": Arity(1, None),
    "header_upstream": Arity(1, 3),
    "transparent": Arity(0, 0),
    "websocket": Arity(0, 0),
    "tls_client": Arity(2, 2),
}


def dispenser(directive: str, **env: str) -> Dispenser:
    """A dispenser over a directive that begins in line 1, column 1 of a site without braces."""
    (block,) = parse(f"localhost\n{directive}", MAIN, env=env, read=read_from({})).blocks
    return Dispenser(block.directives[0])


def properties(block: str, **env: str) -> list[list[str]]:
    directive = dispenser(f"proxy / x {{{block}}}", **env)
    found = directive.properties(TABLE)
    assert directive.mistakes == []
    return [[one.name.text, *(token.text for token in one.args)] for one in found]


def complaints(block: str) -> list[str]:
    directive = dispenser(f"proxy / x {{{block}}}")
    directive.properties(TABLE)
    return [f"{one.place.line - 1}:{one.place.column} {one.message}" for one in directive.mistakes]


def hints(block: str) -> list[str]:
    directive = dispenser(f"proxy / x {{{block}}}")
    directive.properties(TABLE)
    return [one.hint for one in directive.mistakes]


def test_the_directives_own_line() -> None:
    plain = dispenser("proxy / a b")
    assert (plain.name.text, [token.text for token in plain.args], plain.has_block) == (
        "proxy",
        ["/", "a", "b"],
        False,
    )
    assert plain.properties(TABLE) == plain.lines() == []
    with_block = dispenser('proxy / "{" { websocket }')
    assert ([token.text for token in with_block.args], with_block.has_block) == (["/", "{"], True)


LONG = [["policy", "round_robin"], ["health_check", "/health"], ["transparent"]]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (" policy header X-My-Header ", [["policy", "header", "X-My-Header"]]),
        (" policy round_robin ", [["policy", "round_robin"]]),
        (" policy round_robin health_check /health transparent ", LONG),
        ("\n\tpolicy round_robin\n\thealth_check /health\n\ttransparent\n", LONG),
        ("\n\tpolicy round_robin health_check /health\n\ttransparent\n", LONG),
        (" websocket ", [["websocket"]]),
        (" except /static /robots.txt ", [["except", "/static", "/robots.txt"]]),
        ("\nexcept /a /b\nexcept /c\n", [["except", "/a", "/b"], ["except", "/c"]]),
        (" ", []),
    ],
)
def test_blocks_on_one_line_and_on_several(block: str, expected: list[list[str]]) -> None:
    assert properties(block) == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (" header_upstream A b transparent ", [["header_upstream", "A", "b"], ["transparent"]]),
        (' header_upstream A b "transparent" ', [["header_upstream", "A", "b", "transparent"]]),
        (" header_upstream transparent websocket ", [["header_upstream", "transparent"], ["websocket"]]),
        (" policy websocket ", [["policy", "websocket"]]),
        (
            " tls_client policy websocket transparent ",
            [["tls_client", "policy", "websocket"], ["transparent"]],
        ),
        (" except {$P} ", [["except", "policy"]]),
        (" except /a {$P} websocket", [["except", "/a", "policy"], ["websocket"]]),
        (" {$P} first websocket", [["policy", "first"], ["websocket"]]),
        (' "policy" first', [["policy", "first"]]),
        (" policy \\\n first \\\n websocket", [["policy", "first"], ["websocket"]]),
    ],
)
def test_a_property_takes_its_least_whatever_it_is(block: str, expected: list[list[str]]) -> None:
    assert properties(f"{block} ", P="policy") == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("\nmax_fails 3 4\n", ["2:13 too many arguments for `max_fails`: found `4`, expected 1 argument"]),
        ("\npolicy \n", ["2:1 too few arguments for `policy`: found none, expected 1 to 2 arguments"]),
        (
            "\nmax_fails\n3\n",
            [
                "2:1 too few arguments for `max_fails`: found none, expected 1 argument",
                "3:1 unknown property `3` of `proxy`",
            ],
        ),
        (" tls_client a ", ["1:13 too few arguments for `tls_client`: found only `a`, expected 2 arguments"]),
        (" websocket now ", ["1:23 too many arguments for `websocket`: found `now`, expected no argument"]),
        (" except ", ["1:13 too few arguments for `except`: found none, expected at least 1 argument"]),
        (" polcy first websocket ", ["1:13 unknown property `polcy` of `proxy`"]),
        (" health_check /h { a } ", ["1:29 found `{`, but a block of `proxy` holds no further block"]),
    ],
)
def test_mistakes_with_their_places(block: str, expected: list[str]) -> None:
    assert complaints(block) == expected


def test_all_mistakes_in_one_go() -> None:
    block = "\nmax_fails\npolcy x\nwebsocket a\nhealth_check { x }\nmax_fails 1 2 3\n"
    assert [line.split(" ")[0] for line in complaints(block)] == ["5:14", "2:1", "3:1", "4:11", "6:13"]


def test_a_misspelt_property_is_guessed() -> None:
    assert hints(" polcy first ") == ["did you mean `policy`?"]
    assert hints(" Health-Check /h ") == ["did you mean `health_check`?"]
    assert hints(" zzz ") == [""]
    assert hints(" policy first helth_check /h ") == ["did you mean `health_check` instead of `helth_check`?"]
    assert hints(' policy first "helth_check" /h ') == [""]


def test_lines_are_for_words_of_the_users_choice() -> None:
    found = dispenser('header / {\n\t-Server\n\tX-A "b c" \\\n\td\n}').lines()
    assert [[one.name.text, *(token.text for token in one.args)] for one in found] == [
        ["-Server"],
        ["X-A", "b c", "d"],
    ]


@pytest.mark.parametrize(
    ("arity", "expected"),
    [
        (Arity(0, 0), "no argument"),
        (Arity(1, 1), "1 argument"),
        (Arity(2, 2), "2 arguments"),
        (Arity(0, 1), "at most 1 argument"),
        (Arity(0, 2), "at most 2 arguments"),
        (Arity(1, 3), "1 to 3 arguments"),
        (Arity(1, None), "at least 1 argument"),
        (Arity(2, None), "at least 2 arguments"),
        (Arity(0, None), "arguments"),
    ],
)
def test_an_arity_in_words(arity: Arity, expected: str) -> None:
    assert str(arity) == expected


def test_the_directives_own_line_is_checked_alike() -> None:
    bind = dispenser("bind a b {\n}")
    assert not bind.check_args(Arity(1, 1))
    assert not bind.refuse_block()
    bind.fail(bind.name, "third", "hint")
    assert [(one.place.column, one.width, one.message, one.hint) for one in bind.mistakes] == [
        (8, 1, "too many arguments for `bind`: found `b`, expected 1 argument", ""),
        (10, 1, "`bind` takes no block: found `{`, expected the end of the line", ""),
        (1, 4, "third", "hint"),
    ]
    bind = dispenser("bind a")
    assert bind.check_args(Arity(1, 1)) and bind.refuse_block() and bind.mistakes == []


WORDS = st.sampled_from([*TABLE, "a", "/b", '"policy"', '""', "\n", "{ ", " }", "polcy"])


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=12))
def test_every_word_is_a_property_an_argument_or_a_mistake(words: list[str]) -> None:
    depth = 0
    for word in words:
        depth += (word == "{ ") - (word == " }")
        if depth < 0:
            return
    if depth:
        return
    directive = dispenser(f"proxy / x {{ {' '.join(words)} }}")
    found = directive.properties(TABLE)
    for one in found:
        arity = TABLE[one.name.text]
        assert arity.least <= len(one.args)
        assert arity.most is None or len(one.args) <= arity.most
        assert all(token.quoted or token.text not in TABLE for token in one.args[arity.least :])
    if not directive.mistakes:
        count = sum(1 + len(one.args) for one in found)
        assert count == sum(word != "\n" for word in words)


def test_what_a_later_release_takes_is_not_promised() -> None:
    assert str(Arity(1, 4, later=3)) == "1 argument"
    assert str(Arity(1, 6, later=4)) == "1 to 2 arguments"
    table = {"upstream": Arity(1, 3, later=2), "queue": Arity(2, 2, is_later=True)}
    directive = dispenser("proxy / x {\nupstream a b c\nupstream a b c d\nqueue\nqueue 1 2 3\n}")
    found = directive.properties(table)
    assert [(one.name.text, len(one.args)) for one in found] == [("upstream", 3), ("queue", 0), ("queue", 3)]
    assert [one.message for one in directive.mistakes] == [
        "too many arguments for `upstream`: found `d`, expected 1 argument"
    ]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("max_fails 10 ms", "write `10ms` as one word"),
        ("policy 'a b c'", "single quotes mean nothing here: write double quotes"),
        ("transparent s", ""),
        ("@api x", "named matchers are Caddy 2's: here a directive takes a path"),
    ],
)
def test_hints_for_words_too_many(line: str, hint: str) -> None:
    assert hints(f"\n{line}\n") == [hint]


def test_a_name_from_elsewhere_has_its_own_hint() -> None:
    directive = dispenser("proxy / x {\nplicy a\n}")
    directive.properties(TABLE, {"plicy": "that is another's"})
    assert [one.hint for one in directive.mistakes] == ["that is another's"]
