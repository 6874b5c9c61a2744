from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.specs import SiteSpec
from posthouse.config.step_specs import StatusSpec


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("status 404 /a", ["/a"]),
        ("status 404 {\n/a\n/b/\n}", ["/a", "/b/"]),
        ("status 404 { /a /b }", ["/a", "/b"]),
        ("status 404 /a\nstatus 404 /b", ["/a", "/b"]),
    ],
)
def test_forms(read_site: Callable[[str], SiteSpec], text: str, paths: list[str]) -> None:
    assert read_site(text).statuses == tuple(StatusSpec(404, path) for path in paths)


@pytest.mark.parametrize("code", [200, 204, 301, 418, 599, 999])
def test_codes(read_site: Callable[[str], SiteSpec], code: int) -> None:
    assert read_site(f"status {code} /").statuses[0].status == code


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("status", "1:1 too few arguments for `status`: found none, expected 2 arguments"),
        ("status 404", "1:1 too few arguments for `status`: found only `404`, expected 2 arguments"),
        ("status 404 / x", "1:14 too many arguments for `status`: found `x`, expected 2 arguments"),
        ("status 404 / {\n/a\n}", "1:12 too many arguments for `status`: found `/`, expected 1 argument"),
        ("status 404 {\n}", "1:1 `status` has no path: expected one or more in its block"),
        ("status gone /", "1:8 expected a whole number, found `gone`"),
        ("status 199 /", "1:8 expected a status from 200 to 999, found `199`"),
        ("status 1000 /", "1:8 expected a status from 200 to 999, found `1000`"),
        ("status 404 x", "1:12 the path of `status` must begin with `/`, found `x`: it would never match"),
        ("status 404 /a\nstatus 410 {\n/a\n}", "3:1 `/a` has a status already: 404 (Caddyfile:2:12)"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    (found,) = find_mistakes(text)
    assert found.startswith(mistake)
