from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import adapt
from posthouse.directives.push import WHY


@pytest.mark.parametrize(
    "text",
    [
        "push",
        "push /",
        "push /index.html /style.css /app.js",
        "push / {\n/style.css\n/app.js /more.js\n}",
        'push / {\nmethod HEAD\nheader X-Test value\nheader X-Other "a b"\n/style.css\n}',
        "push / { /style.css }",
    ],
)
def test_every_form_is_accepted_and_told_to_do_nothing(text: str) -> None:
    adapted = adapt(f":80\nproxy / a\n{text}\n", "f", env={})
    assert [(str(one.place), one.message) for one in adapted.config.notices] == [("f:3:1", WHY)]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "push index.html",
            "1:6 a path of `push` must begin with `/`, found `index.html`: it would never match",
        ),
        ("push / {\nmethod POST\n}", "2:8 expected GET or HEAD, found `POST`"),
        ("push / {\nmethod\n}", "2:1 too few arguments for `method`: found none, expected 1 argument"),
        ("push / {\nheader A\n}", "2:1 too few arguments for `header`: found only `A`, expected 2 arguments"),
        (
            "push / {\nheader A b c\n}",
            "2:12 too many arguments for `header`: found `c`, expected 2 arguments",
        ),
        ("push / {\nx\n}", "2:1 a resource must begin with `/`, found `x`: it would never match"),
    ],
)
def test_refused(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
