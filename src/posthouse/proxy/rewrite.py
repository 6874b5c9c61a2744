"""Header rules, compiled: which lines stay, which are removed, which are written.

The rules of a route or site are folded into one HeaderProgram when the generation is built. Rules act in the order
of the file; because a rule acts on one name only, the fold is per name, and what is left to do per request is one
pass over the fields and one line per rule that writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from posthouse.config.specs import HeaderRule
from posthouse.observe.placeholders import Template, compile_template
from posthouse.observe.record import Subject
from posthouse.protocol.fields import FORWARDING, PROTECTED_NAMES, VIA, Field, kind_of

_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_OURS: Final = (FORWARDING, VIA)
"""Kinds of fields that we write, or let pass from trusted peers, beside the ordinary ones; rules may act on them."""


def field_line(name: bytes, value: str) -> bytes:
    """The one place where an expanded value becomes a field line. b"" if it must not (reliability.md rule 14).

    Text from the wire was decoded as latin-1 and goes back the same way; text with other characters is UTF-8.
    """
    value = value.strip(" \t")
    if not value or _UNSENDABLE.search(value) is not None:
        return b""
    try:
        raw = value.encode("latin-1")
    except UnicodeEncodeError:
        raw = value.encode("utf-8", "surrogateescape")
    return name + b": " + raw + b"\r\n"


def as_wire_text(text: str) -> str:
    """Text of the configuration so that encoding it as latin-1 gives its UTF-8 bytes."""
    return text.encode("utf-8").decode("latin-1")


@dataclass(slots=True)
class _Group:
    """What the rules for one name come to: whether the fields that came are dropped, and what is written."""

    drops: bool = False
    lines: list[tuple[bytes, Template, bytes]] = field(default_factory=list)
    """(name, value, the finished line if the value is constant)"""


class HeaderProgram:
    """Rules for one head."""

    __slots__ = ("_drops", "_lines", "_wild", "host", "is_empty", "touches_ours", "writes_authorization")

    def __init__(self, rules: Iterable[HeaderRule]) -> None:
        groups: dict[bytes, _Group] = {}
        self._wild: list[tuple[bytes, bytes]] = []
        for rule in rules:
            self._fold(groups, rule)
        host = groups.pop(b"host", None)
        self.host: Template | None = host.lines[-1][1] if host and host.lines else None
        """A rule's word for the authority of the request (upstream programs only)."""
        self._drops = frozenset(name for name, group in groups.items() if group.drops)
        self._lines = [line for group in groups.values() for line in group.lines]
        self.is_empty = not (groups or self._wild)
        self.touches_ours = bool(self._wild) or any(kind_of(name) in _OURS for name in self._drops)
        self.writes_authorization = b"authorization" in groups and bool(groups[b"authorization"].lines)

    def _fold(self, groups: dict[bytes, _Group], rule: HeaderRule) -> None:
        name = rule.name.encode("utf-8")
        lower = name.lower()
        if lower in PROTECTED_NAMES:
            # `websocket` and hand-written equals set Connection and Upgrade; upgrades pass without them.
            return
        if "*" in rule.name:
            self._remove_matching(groups, lower)
            return
        group = groups.setdefault(lower, _Group())
        if rule.op != "add":
            group.drops = True
            group.lines.clear()
        if rule.op != "remove":
            template = compile_template(as_wire_text(rule.value), "")
            line = field_line(name, template.expand(cast(Subject, None))) if template.is_constant else b""
            group.lines.append((name, template, line))

    def _remove_matching(self, groups: dict[bytes, _Group], pattern: bytes) -> None:
        prefix, _, suffix = pattern.partition(b"*")
        self._wild.append((prefix, suffix))
        for name, group in groups.items():
            if name.startswith(prefix) and name.endswith(suffix):
                group.drops = True
                group.lines.clear()

    def drops(self, lower: bytes) -> bool:
        """Whether a field of this lower-case name does not go on."""
        return not self._keeps(lower)

    def _keeps(self, lower: bytes) -> bool:
        if lower in self._drops:
            return False
        return not any(lower.startswith(prefix) and lower.endswith(suffix) for prefix, suffix in self._wild)

    def apply(self, fields: Sequence[Field], subject: Subject) -> list[bytes]:
        """The lines that go on: what stays of `fields`, then what the rules write."""
        drops = self._drops
        if self._wild:
            lines = [field.wire for field in fields if self._keeps(field.lower)]
        else:
            lines = [field.wire for field in fields if field.lower not in drops]
        for name, template, line in self._lines:
            lines.append(line or field_line(name, template.expand(subject)))
        return lines


NO_RULES: Final = HeaderProgram(())
