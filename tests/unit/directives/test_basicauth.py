from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.caddyfile.messages import render
from posthouse.config.specs import SiteSpec
from posthouse.config.step_specs import BasicAuthSpec

HASH = "$2b$04$ikb39OqjyG3gd2ueCXpxXuM7lzyZUmFRfq/3MMCRxB8rJ4aiPHFYa"
MARY = '"Mary Lou" milkshakes'


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("basicauth /secret Bob hiccup", BasicAuthSpec("Bob", "hiccup", paths=("/secret",))),
        (f"basicauth / Bob {HASH}", BasicAuthSpec("Bob", HASH, paths=("/",))),
        ("basicauth / Bob htpasswd=.users", BasicAuthSpec("Bob", file=".users", paths=("/",))),
        (
            f'basicauth {MARY} {{\nrealm "Mary Lou\'s documents"\n/notes.txt\n/files\n}}',
            BasicAuthSpec("Mary Lou", "milkshakes", "", ("/notes.txt", "/files"), "Mary Lou's documents"),
        ),
        (
            f"basicauth {MARY} {{ /a realm R /b }}",
            BasicAuthSpec("Mary Lou", "milkshakes", "", ("/a", "/b"), "R"),
        ),
        (
            f"basicauth /a {MARY} {{\n/b\n}}",
            BasicAuthSpec("Mary Lou", "milkshakes", "", ("/a", "/b")),
        ),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, spec: BasicAuthSpec) -> None:
    assert read_site(text).auths == (spec,)


def test_several(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("basicauth /1 u1 p1\nbasicauth /2 u2 p2")
    assert [(one.user, one.paths, one.place.line) for one in site.auths] == [
        ("u1", ("/1",), 2),
        ("u2", ("/2",), 3),
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "basicauth",
            "1:1 `basicauth` takes 2 or 3 arguments, found 0: expected PATH USER PASSWORD, or",
        ),
        ("basicauth hunter2", "1:1 `basicauth` takes 2 or 3 arguments, found 1"),
        ("basicauth / bob hunter2 x", "1:1 `basicauth` takes 2 or 3 arguments, found 4"),
        ("basicauth bob hunter2", "1:1 `basicauth` has no path: it would protect nothing"),
        ("basicauth bob hunter2 {\nrealm X\n}", "1:1 `basicauth` has no path: it would protect nothing"),
        ("basicauth x bob hunter2", "1:1 the path of `basicauth` must begin with `/`"),
        ("basicauth / b:ob hunter2", "1:1 the user of `basicauth` is empty, or has a colon"),
        ('basicauth / "" hunter2', "1:1 the user of `basicauth` is empty, or has a colon"),
        ('basicauth / bob ""', "1:1 the password of `basicauth` is empty"),
        ("basicauth / bob htpasswd=", "1:1 the password of `basicauth` is empty"),
        ("basicauth bob hunter2 {\nx\n}", "2:1 a path of `basicauth` must begin with `/`, found `x`"),
        ("basicauth bob hunter2 {\n/\nrealm\n}", "3:1 the name of `realm` is missing"),
        ("basicauth bob hunter2 {\n/\nrealm A\nrealm B\n}", "4:1 `realm` is there already: `A`"),
    ],
)
def test_mistakes_never_show_a_password(
    find_mistakes: Callable[[str], list[str]], text: str, mistake: str
) -> None:
    (found,) = find_mistakes(text)
    assert found.startswith(mistake)
    with pytest.raises(AdaptError) as raised:
        adapt(f"localhost\n{text}", "f", env={})
    assert "hunter2" not in "\n".join(render(one, raised.value.sources) for one in raised.value.mistakes)


@pytest.mark.parametrize("name", ["basicauth", "basicaut", "basic_auth", "BasicAuth", "basic-auth"])
@pytest.mark.parametrize("line", ["{} / bob hunter2", "{} bob 'hunter2' {{", ":80 {{ {} / bob hunter2 }}"])
def test_a_line_that_is_shown_has_no_password_in_it(name: str, line: str) -> None:
    with pytest.raises(AdaptError) as raised:
        adapt(f"http://localhost {{\n{line.format(name)}\nnonsense\n}}", "f", env={})
    shown = "\n".join(render(one, raised.value.sources) for one in raised.value.mistakes)
    assert "hunter2" not in shown
