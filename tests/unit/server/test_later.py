"""What is imported ahead is there, and what is not installed is no mistake."""

from __future__ import annotations

import sys

import pytest

from posthouse.server import later


def test_it_is_imported_and_what_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "MODULES", ("no_such_module_here", *later.MODULES))
    later.import_all()
    assert {"re2", "bcrypt", "encodings.idna"} <= set(sys.modules)
