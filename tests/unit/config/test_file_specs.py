from __future__ import annotations

from posthouse.config.file_specs import DEFAULT_INDEX, FilesSpec


def test_the_defaults_are_those_of_v1() -> None:
    spec = FilesSpec()
    assert spec.index == DEFAULT_INDEX
    assert DEFAULT_INDEX[0] == "index.html" and len(DEFAULT_INDEX) == 6
    assert (spec.browse, spec.has_dotfiles, spec.hidden) == ((), False, ())
