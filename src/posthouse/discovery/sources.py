"""The table of sources: a new one is a file, a line here, and `posthouse.testing.check_source` passing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.config.specs import SourceKind, SourceSpec
from posthouse.discovery.dns_source import AddressSource, SrvSource
from posthouse.discovery.file_source import FileSource
from posthouse.discovery.ports import Report, Services, Source

SOURCES: Final[dict[SourceKind, Callable[[SourceSpec, Services, Report], Source]]] = {
    "srv": SrvSource,
    "dns": AddressSource,
    "file": FileSource,
}
