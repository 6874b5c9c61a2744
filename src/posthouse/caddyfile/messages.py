"""How a mistake in a Caddyfile is shown to a person: as a good compiler would."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping

from posthouse.caddyfile.lexer import Token, normalize
from posthouse.errors import Mistake, Notice

_TAB = 4
_WIDEST = 140
"""Columns of a source line that are shown; of a longer one, the surroundings of the place."""
_LONGEST_WORD = 60
"""Characters of a user's word that a message repeats."""
_PASSWORD_LINE = re.compile(r"(?i)(?<![\w/.-])(basic[-_]?a\w*)(.*)")
"""A line of `basicauth`, misspelt too: everything after the name is kept from view, for a password is there."""
_CREDENTIALS = re.compile(r"(?<=://)\S+(?=@)|(?<![^\s`\"])[^\s/@:]+:(?!//)\S+(?=@)")
"""Up to the last `@` of a word: a password that should have been encoded may hold slashes and further ones."""
_NUMBER = re.compile(r"[+-]?[0-9.]+")
MATCHER_HINT = "matchers such as `*` are Caddy 2's: here a directive takes a path, and `/` is every one"
"""The hint for a `*` where a path is expected."""
_UNITS = frozenset(("ns", "us", "µs", "μs", "ms", "s", "m", "h", "d", "b", "kb", "mb", "gb"))


def render(mistake: Mistake | Notice, sources: Mapping[str, str]) -> str:
    """The lines to print for one mistake, without a final line break.

    sources  file name as in the places -> its text; a place in no known file is shown without its line

    ```
    Caddyfile:3:5: unknown property `polcy` of `proxy`
      3 |     polcy round_robin
        |     ^^^^^
      hint: did you mean `policy`?
    ```
    """
    place = mistake.place
    message = harmless(mistake.message)
    lines = [f"{harmless(str(place))}: {message}" if place.file or place.line else message]
    lines += _excerpt(mistake, sources)
    hint = getattr(mistake, "hint", "")
    if hint:
        lines.append(f"  hint: {harmless(hint)}")
    return "\n".join(lines)


def quote(what: Token | str) -> str:
    """A user's word for use in a message: in back-quotes, harmless, cut when it is long.

    A token is shown as written: with the name of an environment variable, never with its value, which may be
    secret.
    """
    text = without_credentials(what if isinstance(what, str) else (what.raw or what.text))
    if len(text) > _LONGEST_WORD:
        text = text[: _LONGEST_WORD - 1] + "…"
    return f"`{harmless(text)}`"


def without_credentials(text: str) -> str:
    """The text with `user:password@` of each URL starred out, as many characters as before."""
    return _CREDENTIALS.sub(lambda found: "*" * len(found[0]), text)


def _without_password(line: str) -> str:
    return _PASSWORD_LINE.sub(lambda found: found[1] + re.sub(r"[^\s{}]", "*", found[2]), line)


def harmless(text: str) -> str:
    """The text with a visible sign for every character that could steer a terminal or hide something."""
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, or None. Letter case and `-` for `_` are forgiven first."""
    names = list(known)
    folded = {_fold(name): name for name in reversed(names)}
    wanted = _fold(word[:80])
    if wanted in folded:
        return folded[wanted]
    close = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The hint for a misspelt name, or ""."""
    name = nearest(word, known)
    return f"did you mean `{name}`?" if name else ""


def habit_hint(token: Token) -> str:
    """The hint for a word that means something elsewhere, or ""."""
    text = token.text
    if token.quoted or len(text) < 2:
        return ""
    if text[0] == "'" or text[-1] == "'":
        return "single quotes mean nothing here: write double quotes"
    if text[0] == "@":
        return "named matchers are Caddy 2's: here a directive takes a path"
    return ""


def unit_hint(number: Token, unit: Token) -> str:
    """The hint if two words are a size or duration with a blank in it, or ""."""
    if unit.text.lower() in _UNITS and _NUMBER.fullmatch(number.text):
        return f"write `{number.text}{unit.text}` as one word"
    return ""


def _fold(name: str) -> str:
    return name.casefold().replace("-", "_")


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return " " if unicodedata.category(char) == "Zs" else "\ufffd"


def _excerpt(mistake: Mistake | Notice, sources: Mapping[str, str]) -> list[str]:
    place = mistake.place
    text = sources.get(place.file)
    if text is None or place.line < 1:
        return []
    source = normalize(text).split("\n")
    if place.line > len(source):
        return []
    line = _without_password(without_credentials(source[place.line - 1]))
    start = min(max(place.column - 1, 0), len(line))
    end = min(max(start + mistake.width, start + 1), max(len(line), start + 1))
    shown, before, marked = _window(line, start, end)
    number = str(place.line)
    margin = " " * len(number)
    return [f"  {number} | {shown}", f"  {margin} | {' ' * before}{'^' * marked}"]


def _window(line: str, start: int, end: int) -> tuple[str, int, int]:
    """The part of a line to show, the columns before the mark in it, and the columns of the mark."""
    first = 0 if len(line) <= _WIDEST else max(0, min(start - _WIDEST // 3, len(line) - _WIDEST))
    last = min(len(line), first + _WIDEST)
    cells = [_cell(char) for char in line[first:last]]
    head, tail = ("…" if first else ""), ("…" if last < len(line) else "")
    shown = head + "".join(text for text, _ in cells) + tail
    before = len(head) + sum(columns for _, columns in cells[: start - first])
    marked = sum(columns for _, columns in cells[start - first : min(end, last) - first])
    return shown, before, max(marked, 1)


def _cell(char: str) -> tuple[str, int]:
    """What is shown for a character, and the columns that it takes on a terminal."""
    if char == "\t":
        return " " * _TAB, _TAB
    if " " <= char <= "~":
        return char, 1
    if unicodedata.combining(char):
        return char, 0
    return _visible(char), 2 if unicodedata.east_asian_width(char) in "WF" else 1
