"""Header rules, compiled: which lines stay, which are removed, which are written.

The rules of a route or site are folded into one HeaderProgram when the generation is built. Rules act in the order
of the file; because a rule acts on one name only, the fold is per name, and what is left to do per request is one
pass over the fields and one line per rule that writes. Only a name with a regular expression among its rules keeps
them all, as a Chain: what comes out depends on what came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from posthouse.config.patterns import Pattern
from posthouse.config.specs import HeaderRule
from posthouse.observe.placeholders import Template, compile_template, is_stable
from posthouse.observe.record import Subject
from posthouse.protocol.fields import FORWARDING, PROTECTED_NAMES, VIA, Field, kind_of

_PLACEHOLDERS = re.compile(r"((?<![\\$])\{(?:.*?)(?<!\\)\})", re.DOTALL)
"""`${1}` is a reference to a group."""
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
    return name + b": " + _encoded(value) + b"\r\n"


def _encoded(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")


def _unescaped(text: str) -> str:
    return text.replace("\\{", "{").replace("\\}", "}")


def as_wire_text(text: str) -> str:
    """Text of the configuration so that encoding it as latin-1 gives its UTF-8 bytes."""
    return text.encode("utf-8").decode("latin-1")


@dataclass(slots=True)
class _Group:
    """What the rules for one name come to: whether the fields that came are dropped, and what is written."""

    drops: bool = False
    lines: list[tuple[bytes, Template, bytes]] = field(default_factory=list)
    """(name, value, the finished line if the value is constant)"""
    rules: list[HeaderRule] = field(default_factory=list)
    """The same, not folded; a rule that removed by a pattern is among them."""

    @property
    def is_chain(self) -> bool:
        """Whether a rule looks at the value that came."""
        return any(rule.op == "replace" for rule in self.rules)


class Replacement:
    """A rule with a regular expression: every match in a value is replaced."""

    __slots__ = ("_pattern", "_pieces")

    def __init__(self, rule: HeaderRule) -> None:
        """Raises ValueError: no regular expression."""
        self._pattern = Pattern(rule.pattern)
        # References to groups stand between placeholders; a value from the wire is never read for them.
        self._pieces: list[Template | bytes | int] = []
        for text in _PLACEHOLDERS.split(as_wire_text(rule.value)):
            if text.startswith("{") and text.endswith("}"):
                self._pieces.append(compile_template(text, ""))
            else:
                self._pieces += [
                    piece if isinstance(piece, int) else piece.encode("latin-1")
                    for piece in self._pattern.pieces(_unescaped(text))
                ]

    @property
    def is_stable(self) -> bool:
        """Whether equal heads get equal results."""
        return all(is_stable(piece) for piece in self._pieces if isinstance(piece, Template))

    def apply(self, value: bytes, subject: Subject) -> bytes:
        """The value with all matches replaced."""
        pieces = tuple(
            piece.expand(subject).encode("latin-1", "replace") if isinstance(piece, Template) else piece
            for piece in self._pieces
        )
        return self._pattern.replace_all(value, pieces)


class Chain:
    """All rules for one name, in their order; for names that have a regular expression among them.

    As in v1 an expression looks at the first value, and the field is set to what comes out. Only the lines of
    Set-Cookie are each a field of its own (RFC 9110 5.3): there each is looked at, and none is lost.
    """

    __slots__ = ("_steps",)

    def __init__(self, rules: Sequence[HeaderRule]) -> None:
        self._steps: list[tuple[str, bytes, Template | Replacement]] = [
            (
                rule.op,
                rule.name.encode("utf-8"),
                Replacement(rule) if rule.op == "replace" else compile_template(as_wire_text(rule.value), ""),
            )
            for rule in rules
        ]

    @property
    def is_stable(self) -> bool:
        """Whether equal heads get equal lines."""
        return all(
            value.is_stable if isinstance(value, Replacement) else is_stable(value)
            for _, _, value in self._steps
        )

    def apply(self, came: Sequence[tuple[bytes, bytes]], subject: Subject) -> list[bytes]:
        """The lines that go on, of the (name, value) pairs that came."""
        now = list(came)
        for op, name, value in self._steps:
            if isinstance(value, Replacement):
                looked_at = now if name.lower() == b"set-cookie" else now[:1]
                now = [(kept, value.apply(text, subject)) for kept, text in looked_at]
                continue
            if op != "add":
                now.clear()
            if op != "remove":
                now.append((name, _encoded(value.expand(subject))))
        return [field_line(name, text.decode("latin-1")) for name, text in now]


class HeaderProgram:
    """Rules for one head."""

    __slots__ = (
        *("_chains", "_drops", "_host", "_lines", "_wild", "is_empty", "is_stable", "touches_ours"),
        "writes_authorization",
    )

    def __init__(self, rules: Iterable[HeaderRule]) -> None:
        groups: dict[bytes, _Group] = {}
        self._wild: list[tuple[bytes, bytes]] = []
        for rule in rules:
            self._fold(groups, rule)
        host = groups.pop(b"host", None)
        self._host = Chain(host.rules) if host and (host.lines or host.is_chain) else None
        self._chains = {name: Chain(group.rules) for name, group in groups.items() if group.is_chain}
        folded = {name: group for name, group in groups.items() if not group.is_chain}
        self._drops = frozenset(name for name, group in folded.items() if group.drops)
        self._lines = [line for group in folded.values() for line in group.lines]
        self.is_empty = not (groups or self._wild)
        self.is_stable = all(is_stable(template) for _, template, _ in self._lines) and all(
            chain.is_stable for chain in (self._host, *self._chains.values()) if chain is not None
        )
        """Whether requests with one head, from one peer, to one backend all get the same lines."""
        self.touches_ours = bool(self._wild) or any(
            kind_of(name) in _OURS for name in (*self._drops, *self._chains)
        )
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
        group = groups.get(lower)
        if group is None:
            group = groups[lower] = _Group()
            if self._is_wild(lower):
                group.rules.append(HeaderRule("remove", rule.name))
        group.rules.append(rule)
        if rule.op == "replace":
            return
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
                group.rules.append(HeaderRule("remove", name.decode("utf-8")))

    @property
    def has_host(self) -> bool:
        """Whether a rule has a word in the authority of the request (upstream programs only)."""
        return self._host is not None

    def host(self, authority: bytes, subject: Subject) -> bytes:
        """The authority that the rules make of one; b"" if they make none that can be sent."""
        assert self._host is not None
        lines = self._host.apply([(b"Host", authority)], subject)
        return lines[-1][6:-2] if lines else b""

    def drops(self, lower: bytes) -> bool:
        """Whether a field of this lower-case name does not go on."""
        return not self._keeps(lower)

    def _keeps(self, lower: bytes) -> bool:
        if lower in self._drops:
            return False
        return not self._is_wild(lower)

    def _is_wild(self, lower: bytes) -> bool:
        return any(lower.startswith(prefix) and lower.endswith(suffix) for prefix, suffix in self._wild)

    def apply(self, fields: Sequence[Field], subject: Subject) -> list[bytes]:
        """The lines that go on: what stays of `fields`, then what the rules write."""
        drops = self._drops
        if self._chains:
            return self._apply_chains(fields, subject)
        if self._wild:
            lines = [field.wire for field in fields if self._keeps(field.lower)]
        else:
            lines = [field.wire for field in fields if field.lower not in drops]
        for name, template, line in self._lines:
            lines.append(line or field_line(name, template.expand(subject)))
        return lines

    def _apply_chains(self, fields: Sequence[Field], subject: Subject) -> list[bytes]:
        came: dict[bytes, list[tuple[bytes, bytes]]] = {name: [] for name in self._chains}
        lines: list[bytes] = []
        for one in fields:
            if one.lower in came:
                came[one.lower].append((one.name, one.value))
            elif self._keeps(one.lower):
                lines.append(one.wire)
        for name, template, line in self._lines:
            lines.append(line or field_line(name, template.expand(subject)))
        for name, chain in self._chains.items():
            lines += chain.apply(came[name], subject)
        return lines


NO_RULES: Final = HeaderProgram(())
