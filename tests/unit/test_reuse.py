"""What is read with the help of an earlier version is the same, places and notices included, as what is read alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse import reuse
from posthouse.adapt import Adapted, adapt, adapt_file
from posthouse.caddyfile.unchanged import STAND_IN
from posthouse.errors import ConfigError, Mistake

SNIPPET = "(common) {\n  header / X-Common 1\n}\n"
BLOCKS = [
    "site{n}.test {{\n  proxy / localhost:{m}\n}}\n",
    "http://site{n}.test:8080, http://other{n}.test:8080 {{ # a {{ comment\n\n  log stdout\n"
    "  proxy /a localhost:{m} {{\n    fail_timeout 5s\n    response_timeout {m}s\n  }}\n  proxy /b localhost:1\n}}\n",
    'http://site{n}.test:8080 {{\n  header / X-Text "a\n}} {{ b\\" {m}"\n  header / X-Raw `"}}`\n}}\n',
    "http://site{n}.test:8080 {{\n  import common\n  status {m} /x\n}}\n",
    "http://site{n}.test:8080 {{\n  header / X-Env {{$VALUE}}\n}}\n",
    "http://site{n}.test:8080 {{\n  proxy / localhost:{m} {{\n    name shared\n  }}\n}}\n",
    "http://site{n}.test:8080 {{ status 404 / }}\n",
    "http://site{n}.test:8080 {{\n  root /srv\n  errors {{\n    404 a.html\n  }}\n"
    "  limits {{\n    body /up {m}\n  }}\n}}\n",
    "http://empty{n}.test:8080 {{\n}}\n",
]
JUNK = [
    "",
    "\n",
    "# a comment\n",
    '"',
    "`",
    "{",
    "}",
    "#",
    " ",
    "x",
    "\\\n",
    "import common\n",
    "site0.test ",
    ",",
]


def said(text: str, before: Adapted | None = None, env: str = "v") -> tuple[object, ...]:
    """All that one can see of a reading."""
    try:
        adapted = adapt(text, "Caddyfile", env={"VALUE": env}, before=before)
    except ConfigError as error:
        mistakes: tuple[Mistake, ...] = error.mistakes
        return ("mistakes", mistakes)
    return (repr(adapted.config), adapted.sources)


@st.composite
def files(draw: st.DrawFn) -> list[str]:
    """A Caddyfile in pieces."""
    kinds = draw(st.lists(st.integers(0, len(BLOCKS) - 1), min_size=1, max_size=6))
    blocks = [BLOCKS[kind].format(n=n, m=400 + draw(st.integers(0, 9))) for n, kind in enumerate(kinds)]
    return [SNIPPET, *blocks]


@st.composite
def edits(draw: st.DrawFn, pieces: list[str]) -> str:
    """The file after some editing, most of it sensible."""
    pieces = list(pieces)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(pieces) - 1))
        kind = draw(st.sampled_from(["value", "junk", "remove", "insert", "swap", "inside"]))
        if kind == "value":
            pieces[at] = pieces[at].replace("4", draw(st.sampled_from(["5", "55", "5 5"])), 1)
        elif kind == "junk":
            pieces[at] += draw(st.sampled_from(JUNK))
        elif kind == "remove" and len(pieces) > 1:
            pieces[at] = ""
        elif kind == "insert":
            template = draw(st.sampled_from(BLOCKS))
            pieces[at] += template.format(n=draw(st.integers(50, 60)), m=404)
        elif kind == "swap":
            other = draw(st.integers(0, len(pieces) - 1))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        else:
            position = draw(st.integers(0, len(pieces[at])))
            junk = draw(st.sampled_from(JUNK))
            pieces[at] = pieces[at][:position] + junk + pieces[at][position:]
    return "".join(pieces)


@given(st.data())
@settings(max_examples=150)
def test_nothing_shows_that_something_was_reused(data: st.DataObject) -> None:
    pieces = data.draw(files())
    try:
        before = adapt("".join(pieces), "Caddyfile", env={"VALUE": "v"})
    except ConfigError:
        before = adapt(BLOCKS[0].format(n=1, m=1), "Caddyfile", env={})
    env = data.draw(st.sampled_from(["v", "w"]))
    text = data.draw(edits(pieces))
    assert said(text, before, env) == said(text, None, env)
    try:
        again = adapt(text, "Caddyfile", env={"VALUE": env}, before=before)
    except ConfigError:
        return
    further = data.draw(edits(pieces))
    assert said(further, again, env) == said(further, None, env), "also on top of what was reused"


MANY = "".join(BLOCKS[1].format(n=n, m=400) for n in range(9))


def test_what_has_not_moved_is_the_same_object() -> None:
    before = adapt(MANY, "Caddyfile", env={})
    after = adapt(MANY.replace("site4.test", "site44.test"), "Caddyfile", env={}, before=before)
    pairs = zip(before.config.sites, after.config.sites, strict=True)
    assert [one is other for one, other in pairs] == [True] * 4 + [False] + [True] * 4
    assert sum(after.words) == sum(before.words)


def test_several_changes_at_once() -> None:
    before = adapt(MANY, "Caddyfile", env={})
    text = "# first\n" + MANY.replace("site2.test", "site22.test").replace(
        "proxy /b localhost:1", "status 404 /", 1
    )
    after = adapt(text, "Caddyfile", env={}, before=before)
    assert repr(after.config) == repr(adapt(text, "Caddyfile", env={}).config)
    assert after.config.sites[4].routes[0] == before.config.sites[4].routes[0]
    assert after.config.sites[4].place.line == before.config.sites[4].place.line + 1


def test_blocks_that_import_snippets_are_reused_where_no_snippet_can_have_changed() -> None:
    text = SNIPPET + "".join(BLOCKS[3].format(n=n, m=404) for n in range(3))
    before = adapt(text, "Caddyfile", env={})
    inside = adapt(text.replace("404", "410", 1), "Caddyfile", env={}, before=before)
    assert [one is other for one, other in zip(before.config.sites, inside.config.sites, strict=True)] == [
        False,
        True,
        True,
    ]
    snippet = adapt(text.replace("X-Common 1", "X-Common 2"), "Caddyfile", env={}, before=before)
    values = [rule.value for site in snippet.config.sites for scope in site.headers for rule in scope.rules]
    assert values == ["2", "2", "2"]


def test_a_value_of_the_environment_is_read_again() -> None:
    text = BLOCKS[4].format(n=1, m=1) + BLOCKS[0].format(n=2, m=1)
    before = adapt(text, "Caddyfile", env={"VALUE": "old"})
    after = adapt(text, "Caddyfile", env={"VALUE": "new"}, before=before)
    assert after.config.sites[0].headers[0].rules[0].value == "new"
    assert after.config.sites[1] is before.config.sites[1]


def test_imported_files(tmp_path: Path) -> None:
    """Each file is compared with itself; one that is no longer imported brings nothing."""
    main = tmp_path / "Caddyfile"
    for name in "ab":
        (tmp_path / f"{name}.conf").write_text(f"http://{name}1.test {{\n}}\nhttp://{name}2.test {{\n}}\n")
    main.write_text("import *.conf\nhttp://c.test {\n}\n")
    before = adapt_file(str(main), env={})
    (tmp_path / "b.conf").write_text("# moved\nhttp://b1.test {\n status 404 /\n}\nhttp://b2.test {\n}\n")
    after = adapt_file(str(main), env={}, before=before)
    assert repr(after.config) == repr(adapt_file(str(main), env={}).config)
    assert [one.addresses[0].text[7:9] for one in after.config.sites] == ["a1", "a2", "b1", "b2", "c."]
    assert after.config.sites[0] is before.config.sites[0]
    assert after.config.sites[3].addresses[0].place.line == 5
    main.write_text("import a.conf\nhttp://c.test {\n}\n")
    last = adapt_file(str(main), env={}, before=after)
    assert len(last.config.sites) == 3 and list(last.sources) == [str(main), str(tmp_path / "a.conf")]


def test_a_file_that_is_imported_inside_a_site_is_no_list_of_sites(tmp_path: Path) -> None:
    main = tmp_path / "Caddyfile"
    (tmp_path / "a.conf").write_text("http://a.test {\n}\n")
    main.write_text("import a.conf\n")
    before = adapt_file(str(main), env={})
    main.write_text("http://c.test {\n import a.conf\n}\n")
    with pytest.raises(ConfigError) as found:
        adapt_file(str(main), env={}, before=before)
    with pytest.raises(ConfigError) as alone:
        adapt_file(str(main), env={})
    assert found.value.mistakes == alone.value.mistakes


def test_a_text_that_holds_our_stand_in_is_read_as_a_whole() -> None:
    before = adapt(MANY, "Caddyfile", env={})
    text = MANY + f"http://{STAND_IN}0 {{\n}}\n"
    assert said(text, before) == said(text)


@pytest.mark.parametrize(("words", "is_reused"), [(0, True), (1, False)])
def test_more_words_than_are_allowed(words: int, is_reused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts what was not read again as well."""
    before = adapt(MANY, "Caddyfile", env={})
    text = MANY.replace("site4", "site44")
    after = adapt(text, "Caddyfile", env={}, before=before)
    monkeypatch.setattr(reuse, "MAX_TOKENS", sum(after.words) - words)
    again = adapt(text, "Caddyfile", env={}, before=before)
    assert (again.config.sites[0] is before.config.sites[0]) is is_reused


@pytest.mark.parametrize(("size", "is_reused"), [(0, True), (1, False)])
def test_more_text_than_is_allowed(size: int, is_reused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = adapt(MANY, "Caddyfile", env={})
    monkeypatch.setattr(reuse, "MAX_SIZE", len(MANY) - size)
    again = adapt(MANY, "Caddyfile", env={}, before=before)
    assert (again.config.sites[0] is before.config.sites[0]) is is_reused
