from __future__ import annotations

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.directives import DIRECTIVES, FOREIGN
from posthouse.directives.foreign import BESIDE_PROXY
from posthouse.directives.proxy import PROPERTIES


def hints(text: str) -> list[str]:
    with pytest.raises(AdaptError) as raised:
        adapt(f"localhost {{\n{text}\n}}", "f", env={})
    return [one.hint for one in raised.value.mistakes]


@pytest.mark.parametrize("name", ["cors", "ipfilter", "ratelimit", "jwt", "cache", "git", "hugo", "realip"])
def test_a_plugin_of_v1_is_told_to_be_one(name: str) -> None:
    (hint,) = hints(f"{name} /x")
    assert hint.startswith("that was a plugin of Caddy v1")


@pytest.mark.parametrize("name", BESIDE_PROXY)
def test_a_directive_in_a_block_of_proxy_is_told_its_place(name: str) -> None:
    assert name in DIRECTIVES and name not in PROPERTIES and name not in FOREIGN
    assert hints(f"proxy / h {{\n{name} /x\n}}") == [BESIDE_PROXY[name]]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("root * /srv", "`/` is every one"),
        ("rewrite * /x", "`/` is every one"),
        ("header * X y", "`/` is every one"),
        ("log {\noutput file /x\n}", "`log FILE`"),
        ("proxy / h {\nheader X y\n}", "`header_upstream`"),
        ("proxy / h {\ntls a b\n}", "`https://`"),
        ("vars a b", "nothing like it"),
    ],
)
def test_habits_from_elsewhere(text: str, part: str) -> None:
    (hint,) = hints(text)
    assert part in hint
