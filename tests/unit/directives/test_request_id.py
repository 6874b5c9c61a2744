from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import RequestIdSpec, SiteSpec
from posthouse.errors import NOWHERE


def test_forms(read_site: Callable[[str], SiteSpec]) -> None:
    assert read_site("").request_id is None
    assert read_site("request_id").request_id == RequestIdSpec(NOWHERE, "")
    assert read_site("request_id X-Request-ID").request_id == RequestIdSpec(NOWHERE, "X-Request-ID")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "request_id A B",
            "1:14 too many arguments for `request_id`: found `B`, expected at most 1 argument",
        ),
        ("request_id A:", "1:12 `A:` is not a field name"),
        ("request_id {\n}", "1:12 `request_id` takes no block: found `{`, expected the end of the line"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
