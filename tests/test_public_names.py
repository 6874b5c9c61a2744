"""What others may import is pinned: a name added, lost or renamed fails here before it fails for them."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import posthouse

ROOT = Path(__file__).resolve().parent.parent

PUBLIC: dict[str, set[str]] = {
    "posthouse": set(),
    "posthouse.testing": {"Hourglass", "check_policy", "check_source"},
}


def public_names(module: ModuleType) -> set[str]:
    """Names without an underscore, submodules apart: those show up as soon as something imports them."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_pinned(name: str) -> None:
    module = importlib.import_module(name)
    assert public_names(module) == PUBLIC[name]
    assert set(getattr(module, "__all__", ())) in (set(), PUBLIC[name])


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert posthouse.__version__ == project["version"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) in (project["version"], "Unreleased")
