from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec
from posthouse.config.step_specs import ConditionSpec, ConditionsSpec

BLOCKS = ["rewrite {{\nto /x\n{}\n}}", "redir {{\n/ /x\n{}\n}}"]


@pytest.mark.parametrize("block", BLOCKS)
def test_lines_add_up(read_site: Callable[[str], SiteSpec], block: str) -> None:
    site = read_site(block.format('if {path} is "/a b"\nif_op or\nif {>X} not_match ^a.b$'))
    (found,) = [*(one.conditions for one in site.rewrites), *(one.conditions for one in site.redirects)]
    assert found == ConditionsSpec(
        (ConditionSpec("{path}", "is", "/a b"), ConditionSpec("{>X}", "not_match", "^a.b$")), is_any=True
    )
    assert [one.place.line for one in found.all] == [4, 6]


@pytest.mark.parametrize("block", BLOCKS)
def test_and_is_the_default(read_site: Callable[[str], SiteSpec], block: str) -> None:
    for text in ("if a is b", "if a is b\nif_op and", "if_op or\nif_op and\nif a is b"):
        site = read_site(block.format(text))
        (found,) = [*(one.conditions for one in site.rewrites), *(one.conditions for one in site.redirects)]
        assert found == ConditionsSpec((ConditionSpec("a", "is", "b"),))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        (
            "if a iss b",
            "3:6 unknown condition `iss`: expected one of is, not, has, starts_with, ends_with, match",
        ),
        ("if a match (", "3:12 `(` is not a regular expression: missing ): ("),
        ("if a not_match [", "3:16 `[` is not a regular expression: missing ]: ["),
        ("if_op xor", "3:7 expected `and` or `or`, found `xor`"),
        ("if a is", "3:1 too few arguments for `if`"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], block: str, line: str, mistake: str) -> None:
    (found,) = find_mistakes(block.format(line))
    assert found.startswith(mistake)
