"""What a `log` and an `errors` mean when they say nothing."""

from __future__ import annotations

from posthouse.config import log_specs, specs
from posthouse.errors import Place


def test_specs_hands_them_on() -> None:
    for name in ("ErrorsSpec", "LogSpec", "RotationSpec"):
        assert getattr(specs, name) is getattr(log_specs, name)


def test_where_it_was_written_does_not_matter() -> None:
    assert log_specs.LogSpec(place=Place("a", 1, 1)) == log_specs.LogSpec()
    assert log_specs.ErrorsSpec(place=Place("a", 1, 1)) == log_specs.ErrorsSpec()
    assert log_specs.RotationSpec(place=Place("a", 1, 1)) == log_specs.RotationSpec()


def test_a_file_is_rotated_by_itself() -> None:
    rotation = log_specs.RotationSpec()
    assert (rotation.size, rotation.age, rotation.keep, rotation.is_off) == (
        100 << 20,
        14 * 86_400,
        10,
        False,
    )
