"""Tables for `parametrize`: a name to each row, several values in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest


def rows(cases: Mapping[str, tuple[Any, ...]]) -> list[object]:
    """The rows of a table, each under its name."""
    return [pytest.param(*values, id=name) for name, values in cases.items()]
