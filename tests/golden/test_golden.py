"""A Caddyfile beside what it means: NAME.caddyfile with NAME.json, or with NAME.mistakes.

NAME.json      the frozen configuration, as `posthouse adapt` prints it but for the places
NAME.mistakes  what a person is shown

`GOLDEN=write pytest tests/golden` writes what is missing or has changed; read the difference first.
A pair of blocks that means the same, on one line and on many, shares its .json: NAME.many.caddyfile.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posthouse.adapt import AdaptError, adapt
from posthouse.caddyfile.messages import render
from posthouse.config.dump import dump, load

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.caddyfile"))


def outcome(text: str) -> tuple[str, str]:
    """The ending of the file that holds the result, and the result."""
    try:
        adapted = adapt(text, "Caddyfile", env={})
    except AdaptError as error:
        return ".mistakes", "\n".join(render(one, error.sources) for one in error.mistakes) + "\n"
    return ".json", dump(adapted.config, with_places=False)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_golden(file: Path) -> None:
    ending, result = outcome(file.read_text())
    expected = FOLDER / (file.name.split(".")[0] + ending)
    if os.environ.get("GOLDEN") == "write" and not (expected.exists() and expected.read_text() == result):
        expected.write_text(result)
    assert expected.exists(), f"{file.name} has no {expected.name}; it would be:\n{result}"
    assert result == expected.read_text()


def test_every_result_has_its_caddyfile() -> None:
    known = {file.name.split(".")[0] for file in FILES}
    results = [*FOLDER.glob("*.json"), *FOLDER.glob("*.mistakes")]
    assert sorted(one.name for one in results if one.stem not in known) == []


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: str(file.stem))
def test_what_was_dumped_can_be_loaded(file: Path) -> None:
    text = file.read_text()
    if "***" not in text:
        assert dump(load(text), with_places=False) == text
