"""One site with the directives under test in it: what it means, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.config.specs import SiteSpec


@pytest.fixture
def read_site() -> Callable[[str], SiteSpec]:
    """Directives -> the site that they make."""
    return lambda directives: adapt(_file(directives), "Caddyfile", env={}).config.sites[0]


@pytest.fixture
def find_mistakes() -> Callable[[str], list[str]]:
    """Directives -> what is wrong, each as "LINE:COLUMN message", the first directive on line 1."""
    return _mistakes


def _mistakes(directives: str) -> list[str]:
    try:
        adapt(_file(directives), "Caddyfile", env={})
    except AdaptError as error:
        return [f"{one.place.line - 1}:{one.place.column} {one.message}" for one in error.mistakes]
    return []


def _file(directives: str) -> str:
    return f"localhost {{\n{directives}\n}}\n"
