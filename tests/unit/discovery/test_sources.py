"""The table of sources."""

from __future__ import annotations

from typing import get_args

import pytest

from posthouse.config.specs import SourceKind
from posthouse.discovery.sources import SOURCES
from posthouse.testing import Hourglass
from unit.discovery.fakes import FakeServices, source_spec


def test_every_kind_has_its_source() -> None:
    assert set(SOURCES) == set(get_args(SourceKind))


@pytest.mark.parametrize("text", ["srv://web.test", "dns://web.test:80", "file:list"])
def test_a_source_is_made_without_looking(text: str) -> None:
    services = FakeServices(Hourglass())
    spec = source_spec(text)
    source = SOURCES[spec.kind](spec, services, lambda trouble: None)
    assert text in repr(source)
    assert services.asked == []
