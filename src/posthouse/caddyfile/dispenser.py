"""The cursor that a directive reads its words with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import MATCHER_HINT, did_you_mean, habit_hint, quote, unit_hint
from posthouse.caddyfile.parser import Segment
from posthouse.errors import Mistake

NO_HINTS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Arity:
    """How many arguments something takes; most None = any number.

    later     of `most`, those that only later releases know: they are let through, for who says so
    is_later  all of it belongs to a later release: only the end of its arguments matters
    words     arguments that it knows by name. One that is also the name of a property is that property only if
              something follows that can be the property's argument
    """

    least: int
    most: int | None
    later: int = 0
    is_later: bool = False
    words: frozenset[str] = frozenset()

    def __str__(self) -> str:
        if self.later and self.most is not None:
            return str(Arity(self.least, self.most - self.later))
        if self.most == 0:
            return "no argument"
        if self.most == self.least:
            return f"{self.least} argument{'s' if self.least > 1 else ''}"
        if self.most is None:
            return (
                f"at least {self.least} argument{'s' if self.least > 1 else ''}"
                if self.least
                else "arguments"
            )
        if self.least == 0:
            return f"at most {self.most} argument{'s' if self.most > 1 else ''}"
        return f"{self.least} to {self.most} arguments"


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a directive's block, or one line of it."""

    name: Token
    args: tuple[Token, ...]


class Dispenser:
    """One directive's words, taken apart. Mistakes are collected, never raised.

    name       the directive
    args       the arguments on its own line
    has_block  whether `{ ... }` follows them
    mistakes   in the order found
    """

    __slots__ = ("_body", "_close", "_open", "args", "has_block", "mistakes", "name")

    def __init__(self, segment: Segment) -> None:
        tokens = segment.tokens
        opening = next((i for i, token in enumerate(tokens) if token.is_word("{")), None)
        self.name = segment.name
        self.args = tokens if opening is None else tokens[:opening]
        self.has_block = opening is not None
        self._open = None if opening is None else tokens[opening]
        self._close = None if opening is None else tokens[-1]
        self._body = () if opening is None else tokens[opening + 1 : -1]
        self.mistakes: list[Mistake] = []

    def fail(self, token: Token, message: str, hint: str = "") -> None:
        """Note a mistake at a token; without a hint of its own it gets the one for a habit from elsewhere."""
        self.mistakes.append(Mistake(token.place, message, token.width, hint or habit_hint(token)))

    def check_args(self, arity: Arity) -> bool:
        """Whether the directive's own line has as many arguments as it may; notes the mistake if not."""
        return self._check(self.name, self.args, arity)

    def refuse_block(self) -> bool:
        """Whether there is no block; notes the mistake if there is one."""
        if self._open is not None:
            self.fail(
                self._open, f"{quote(self.name)} takes no block: found `{{`, expected the end of the line"
            )
        return self._open is None

    def lines(self) -> list[Property]:
        """The block line by line, for directives whose lines begin with words of the user's choice."""
        return [Property(line[0], line[1:]) for line in self._split_lines()]

    def check_line(self, line: Property, arity: Arity) -> bool:
        """Whether a line of the block has as many arguments as it may; notes the mistake if not."""
        return self._check(line.name, line.args, arity)

    def properties(self, table: Mapping[str, Arity], foreign: Mapping[str, str] = NO_HINTS) -> list[Property]:
        """The block as properties, by the rule that also lets several stand on one line.

        foreign  names that people bring from elsewhere -> the hint

        Each property takes its least number of arguments first, whatever they are; a further one is taken
        unless it is an unquoted name of the table. Arguments never come from another line. A property that is
        unknown or has too few or too many arguments is noted and left out.
        """
        found: list[Property] = []
        for line in self._split_lines():
            while line:
                count = self._extent(line, table)
                arity = table.get(line[0].text)
                if arity is None:
                    hint = foreign.get(line[0].text) or did_you_mean(line[0].text, table)
                    self.fail(line[0], f"unknown property {quote(line[0])} of {quote(self.name)}", hint)
                elif self._check(line[0], line[1:count], arity, table):
                    found.append(Property(line[0], line[1:count]))
                line = line[count:]
        return found

    def _split_lines(self) -> list[tuple[Token, ...]]:
        """The block's lines; a block within it is a mistake, and left out with the line that it ends."""
        lines: list[list[Token]] = []
        depth = 0
        for token in self._body:
            if token.is_word("{"):
                if depth == 0:
                    self._refuse_nested(token, lines)
                depth += 1
            elif token.is_word("}"):
                depth -= 1
                lines.append([])
            elif depth == 0:
                if token.is_first or not lines:
                    lines.append([])
                lines[-1].append(token)
        return [tuple(line) for line in lines if line]

    def _refuse_nested(self, token: Token, lines: list[list[Token]]) -> None:
        self.fail(token, f"found `{{`, but a block of {quote(self.name)} holds no further block")
        if lines:
            lines.pop()

    def _extent(self, line: tuple[Token, ...], table: Mapping[str, Arity]) -> int:
        """How many words of the line belong to its first property, superfluous ones included."""
        arity = table.get(line[0].text)
        count = 1 + (arity.least if arity else 0)
        words = arity.words if arity else frozenset()
        while count < len(line) and (
            line[count].quoted
            or line[count].text not in table
            or (line[count].text in words and not self._has_own(line, count, table, words))
        ):
            count += 1
        return min(count, len(line))

    def _has_own(
        self, line: tuple[Token, ...], at: int, table: Mapping[str, Arity], words: frozenset[str]
    ) -> bool:
        """Whether the word at `at`, a property's name, is followed by an argument of its own."""
        if at + 1 == len(line):
            return False
        following = line[at + 1]
        return following.quoted or not (following.text in table or following.text in words)

    def _check(
        self, name: Token, args: tuple[Token, ...], arity: Arity, known: Mapping[str, Arity] | None = None
    ) -> bool:
        if arity.is_later:
            return True
        if len(args) < arity.least:
            found = f"only {quote(args[0])}" if len(args) == 1 else (f"only {len(args)}" if args else "none")
            self.fail(name, f"too few arguments for {quote(name)}: found {found}, expected {arity}")
            return False
        if arity.most is not None and len(args) > arity.most:
            extra = args[arity.most]
            hint = self._surplus_hint(args, arity.most) or (self._misspelt(args, known) if known else "")
            self.fail(
                extra, f"too many arguments for {quote(name)}: found {quote(extra)}, expected {arity}", hint
            )
            return False
        return True

    def _surplus_hint(self, args: tuple[Token, ...], most: int) -> str:
        """Why there may be more words than were meant: a blank before a unit, quotes that are none."""
        if args[0].is_word("*"):
            return MATCHER_HINT
        quoted = next(filter(None, map(habit_hint, args)), "")
        return (unit_hint(args[most - 1], args[most]) if most else "") or quoted

    def _misspelt(self, args: tuple[Token, ...], known: Mapping[str, Arity]) -> str:
        """The hint if one of the words looks like the name of another property."""
        for token in args:
            hint = "" if token.quoted else did_you_mean(token.text, known)
            if hint:
                return f"{hint[:-1]} instead of {quote(token)}?"
        return ""
