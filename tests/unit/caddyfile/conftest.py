"""What the tests of the grammar share: parse a configuration held in memory, and say what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from posthouse.caddyfile.parser import Parsed, parse_leniently
from unit.caddyfile.memory_files import MAIN, read_from


@pytest.fixture
def parse_files() -> Callable[..., Parsed]:
    """The text of the first file, then further files by name and the environment -> what it says."""

    def run(text: str, files: Mapping[str, str] | None = None, **env: str) -> Parsed:
        return parse_leniently(text, MAIN, env=env, read=read_from(files or {}))

    return run


def _shape(parsed: Parsed) -> list[list[list[str]]]:
    """Each block as lists of words: the addresses, then one list per directive."""
    return [
        [[token.text for token in block.addresses]]
        + [[one.name.text, *(token.text for token in one.tokens)] for one in block.directives]
        for block in parsed.blocks
    ]


@pytest.fixture
def shape() -> Callable[[Parsed], list[list[list[str]]]]:
    return _shape


@pytest.fixture
def complaints() -> Callable[[Parsed], list[str]]:
    """What is wrong, each as "FILE:LINE:COLUMN message"."""
    return lambda parsed: [f"{one.place} {one.message}" for one in parsed.mistakes]
