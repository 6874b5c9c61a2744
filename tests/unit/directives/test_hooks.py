from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import adapt
from posthouse.config.specs import HookSpec, SiteSpec
from posthouse.errors import Place


@pytest.mark.parametrize(
    ("text", "hook"),
    [
        ("startup a", HookSpec("startup", ("a",))),
        ("on startup a b", HookSpec("startup", ("a", "b"))),
        ("on ShutDown a", HookSpec("shutdown", ("a",))),
        ('shutdown sh -c "a | b  c"', HookSpec("shutdown", ("sh", "-c", "a | b  c"))),
        ("startup a b &", HookSpec("startup", ("a", "b"), is_background=True)),
        ("startup a &", HookSpec("startup", ("a",), is_background=True)),
        ('startup "a b" &', HookSpec("startup", ("a", "b"), is_background=True)),
        ("startup \"a 'b c' &\"", HookSpec("startup", ("a", "b c"), is_background=True)),
        ('startup `a "b c" d`', HookSpec("startup", ("a", "b c", "d"))),
        ("startup a & b", HookSpec("startup", ("a", "&", "b"))),
        ("startup a b&", HookSpec("startup", ("a", "b&"))),
        ('startup a ""', HookSpec("startup", ("a", ""))),
    ],
)
def test_a_command(read_site: Callable[[str], SiteSpec], text: str, hook: HookSpec) -> None:
    assert read_site(text).hooks == (hook,)


def test_all_of_a_site_with_the_place_of_the_program(read_site: Callable[[str], SiteSpec]) -> None:
    hooks = read_site("shutdown a\non startup b\nstartup c").hooks
    assert [(hook.command, hook.place) for hook in hooks] == [
        (("c",), Place("Caddyfile", 4, 9)),
        (("a",), Place("Caddyfile", 2, 10)),
        (("b",), Place("Caddyfile", 3, 12)),
    ], "in the order of the table, then of the file"


def test_nothing_is_renewed() -> None:
    adapted = adapt(":80\nproxy / a\non certrenew b", "f", env={})
    assert [(str(one.place), one.message) for one in adapted.config.notices] == [
        ("f:3:1", "no certificates are renewed in this release: this command never runs")
    ]
    assert adapted.config.sites[0].hooks == (HookSpec("certrenew", ("b",)),)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("startup", "1:1 too few arguments for `startup`: found none, expected at least 1 argument"),
        ("on startup", "1:1 too few arguments for `on`: found only `startup`, expected at least 2 arguments"),
        ("on strtup a", "1:4 `strtup` is not an event"),
        ("startup &", "1:9 the command is empty: expected a program"),
        ('startup ""', "1:9 the command is empty: expected a program"),
        ('shutdown "" a', "1:10 the command is empty: expected a program"),
        ('shutdown "a \'b"', '1:10 a quote within `"a \'b"` is never closed'),
        ("startup a { }", "1:11 `startup` takes no block: found `{`, expected the end of the line"),
        ("on startup a { }", "1:14 `on` takes no block: found `{`, expected the end of the line"),
    ],
)
def test_refused(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
