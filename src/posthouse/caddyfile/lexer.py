"""Caddyfile text to tokens, each with its place.

The grammar:

* A leading byte-order mark and every CR are dropped. Any other Unicode white space separates; only LF ends a
  line.
* `#` begins a comment where a token could begin, and nowhere else: `a#b` is one word.
* `"` opens a quoted token at a token's start; inside, `\\"` is a quote, any other backslash stands for
  itself. A back-quote opens a raw token, in which nothing is special. Both may span lines. The closing mark
  ends the token even if text follows directly.
* A backslash at the very end of a line joins the next line to it.
* `{` and `}` are structure only as unquoted tokens of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from posthouse.errors import ConfigError, Mistake, Place

MAX_TOKENS = 500_000
"""Words of a configuration. A site of ten thousand has about twenty."""
MAX_MISTAKES = 100
"""A binary file is wrong in every line; nobody reads more than this."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a Caddyfile.

    text      what it means: quotes removed, `\\"` resolved, environment placeholders (later) expanded
    place     where its first character stands (the quote of a quoted token)
    quoted    it was quoted, or holds a value of the environment: such a token is never syntax
    width     characters it covers on its first line, quotes included: for underlining
    raw       as written, quotes included (without CR): for messages and for the formatter
    is_first  it begins a line: a line break that counts lies between it and the token before
    end_line  line of its last character; differs from place.line where a quoted token spans lines
    """

    text: str
    place: Place
    quoted: bool = False
    width: int = 1
    raw: str = ""
    is_first: bool = False
    end_line: int = 0

    def is_word(self, text: str) -> bool:
        """Whether this is the unquoted word `text`: the only way to be syntax."""
        return self.text == text and not self.quoted


class Piece(NamedTuple):
    """A stretch of source: everything but blanks is reported, so that a formatter loses nothing.

    kind  newline (with the blank lines after it), continuation, comment, quoted, raw, word, or open: a quote
          that never closes, up to its line's end
    """

    kind: str
    text: str
    line: int
    column: int


# The White_Space property of Unicode without LF and CR. `\s` would also take the separators U+001C-U+001F.
BLANK = "\t\v\f \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_PIECE = re.compile(
    rf"(?P<newline>\n[\n{BLANK}]*+)"
    rf"|(?P<blank>[{BLANK}]++)"
    r"|(?P<continuation>\\\n)"
    r"|(?P<comment>#[^\n]*+)"
    r'|(?P<quoted>"[^"\\]*+(?:\\.[^"\\]*+)*+")'
    r"|(?P<raw>`[^`]*+`)"
    r'|(?P<open>["`][^\n]*+)'
    rf"|(?P<word>(?:[^\n\\{BLANK}]|\\(?!\n))++)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# U+FEFF is a byte-order mark only at the start; elsewhere it is invisible and comes from joining files.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufeff]")


def normalize(text: str) -> str:
    """The text that places count in: without a leading byte-order mark and without CR."""
    return text.replace("\r", "").removeprefix("\ufeff")


def scan(text: str) -> Iterator[Piece]:
    """Cut normalized text into pieces, in linear time, without judging them."""
    line, line_start, position = 1, 0, 0
    while match := _PIECE.match(text, position):
        kind, piece = match.lastgroup or "", match.group()
        if kind != "blank":
            yield Piece(kind, piece, line, position - line_start + 1)
        position = match.end()
        if kind in ("newline", "continuation", "quoted", "raw"):
            line += piece.count("\n")
            line_start = max(line_start, text.rfind("\n", match.start(), position) + 1)


def lex(text: str, file: str) -> list[Token]:
    """The tokens of a file. Raises ConfigError with every lexical mistake in it."""
    tokens, mistakes = lex_leniently(text, file)
    if mistakes:
        raise ConfigError(mistakes)
    return tokens


def lex_leniently(text: str, file: str, most: int = MAX_TOKENS) -> tuple[list[Token], list[Mistake]]:
    """Like `lex`, but goes on after a mistake: a quote that never closes is taken to end with its line.

    More than `most` tokens are a mistake, and end the reading.
    """
    tokens: list[Token] = []
    mistakes: list[Mistake] = []
    is_first = True
    for piece in scan(normalize(text)):
        if piece.kind == "newline":
            is_first = True
        elif piece.kind not in ("comment", "continuation"):
            token = _token(piece, file, is_first)
            mistake = _judge(piece, token) if len(tokens) < most else _too_many(token)
            if mistake:
                mistakes.append(mistake)
                if len(tokens) >= most or len(mistakes) >= MAX_MISTAKES:
                    break
            tokens.append(token)
            is_first = False
    return tokens, mistakes


def _token(piece: Piece, file: str, is_first: bool) -> Token:
    raw, line = piece.text, piece.line
    place = Place(file, line, piece.column)
    if piece.kind == "word":
        return Token(raw, place, False, len(raw), raw, is_first, line)
    breaks = raw.count("\n")
    width = raw.index("\n") if breaks else len(raw)
    return Token(_meaning(piece), place, True, max(width, 1), raw, is_first, line + breaks)


def _meaning(piece: Piece) -> str:
    if piece.kind == "open":
        return piece.text[1:]
    inner = piece.text[1:-1]
    if piece.kind == "raw" or "\\" not in inner:
        return inner
    # Pairwise: in `\\"` the first backslash takes the second with it, and the quote closes.
    return _ESCAPE.sub(lambda match: '"' if match.group(1) == '"' else match.group(), inner)


def _judge(piece: Piece, token: Token) -> Mistake | None:
    if piece.kind == "open":
        mark = piece.text[0]
        name = "quote" if mark == '"' else "back-quote"
        return Mistake(
            token.place,
            f"this {name} is never closed: found the end of the file, expected another {mark}",
            1,
            "quoted text may span lines: an earlier quote may be the one too many",
        )
    found = _UNWANTED.search(token.raw)
    if found is None:
        return None
    line = token.place.line + token.raw.count("\n", 0, found.start())
    before = token.raw.rfind("\n", 0, found.start())
    column = found.start() - before if before >= 0 else token.place.column + found.start()
    return Mistake(Place(token.place.file, line, column), f"found {_name(found.group())}, expected text")


def _too_many(token: Token) -> Mistake:
    return Mistake(token.place, f"the configuration has more than {MAX_TOKENS} words", token.width)


def _name(char: str) -> str:
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return "a byte that is not UTF-8"
    return "a byte-order mark (U+FEFF)" if code == 0xFEFF else f"the control character U+{code:04X}"
