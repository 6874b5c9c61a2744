"""One canonical layout for a Caddyfile: what `posthouse fmt` prints."""

from __future__ import annotations

from posthouse.caddyfile.braces import balance
from posthouse.caddyfile.lexer import Piece, lex, normalize, scan
from posthouse.errors import ConfigError


def format_caddyfile(text: str, file: str) -> str:
    """The file in its canonical layout; the same tokens in the same order, every comment kept, idempotent.

    One tab per open brace, one blank between words, at most one blank line, none at the edges of a block. An
    opening brace ends its line and a closing one has a line for itself, so blocks on one line are spread;
    properties that share a line go on sharing it, since only the directive knows where one ends. Raises
    ConfigError if the quotes or braces don't match.
    """
    _, mistakes = balance(lex(text, file))
    if mistakes:
        raise ConfigError(mistakes)
    printer = _Printer()
    for piece in scan(normalize(text)):
        printer.feed(piece)
    return printer.finish()


class _Printer:
    """Lays pieces out line by line.

    breaks         line breaks in the source since the last piece that was laid out
    is_full        the line ends here whatever the source says: it ends with a brace
    is_joined      a continuation came: a backslash, if a word follows
    is_after_open  nothing was laid out since the last `{`, or at all: a blank line is left out
    outer_lines    lines of words at depth 0 since the last block there, those after a comma not counted
    is_import      the last of them is an import
    """

    def __init__(self) -> None:
        self._done: list[str] = []
        self._line = ""
        self._depth = 0
        self._breaks = 0
        self._is_full = False
        self._is_joined = False
        self._has_comment = False
        self._is_after_open = True
        self._outer_lines = 0
        self._is_import = False

    def feed(self, piece: Piece) -> None:
        if piece.kind == "newline":
            self._breaks += piece.text.count("\n")
            self._is_joined = False
        elif piece.kind == "continuation":
            self._is_joined = True
        elif piece.kind == "comment":
            self._comment(piece.text.rstrip())
        elif piece.kind == "word" and piece.text == "{":
            self._open()
        elif piece.kind == "word" and piece.text == "}":
            self._close()
        else:
            self._word(piece.text)

    def finish(self) -> str:
        self._end_line()
        return "".join(f"{line}\n" for line in self._done)

    def _word(self, text: str) -> None:
        if not self._line or self._breaks or self._is_full:
            is_continued = self._line.endswith(",") and not self._has_comment
            self._begin_line(text)
            if self._depth == 0 and not is_continued:
                self._outer_lines += 1
                self._is_import = text == "import"
        elif self._is_joined:
            self._line += " \\\n" + "\t" * (self._depth + 1) + text
        else:
            self._line += " " + text
        self._settle()

    def _open(self) -> None:
        if self._line and not self._is_full and (not self._breaks or self._is_site_brace()):
            self._line += " {"
        else:
            self._begin_line("{")
        self._settle()
        self._depth += 1
        self._is_full = self._is_after_open = True

    def _is_site_brace(self) -> bool:
        """Whether a `{` at the start of a line surely belongs to the address line before it.

        For a directive that would be a mistake, and must remain one; an import may be followed by the rest of
        what it brought.
        """
        is_address = self._depth == 0 and self._outer_lines == 1 and not self._is_import
        return is_address and not self._has_comment

    def _close(self) -> None:
        self._breaks = min(self._breaks, 1)
        self._depth -= 1
        self._begin_line("}")
        self._settle()
        self._is_full = True
        if self._depth == 0:
            self._outer_lines = 0

    def _comment(self, text: str) -> None:
        if self._line and not self._breaks:
            self._line += " " + text
        else:
            self._begin_line(text)
        self._is_joined = False
        self._has_comment = True
        self._breaks = 0

    def _begin_line(self, text: str) -> None:
        is_apart = self._breaks > 1 and not self._is_after_open
        self._end_line()
        if is_apart:
            self._done.append("")
        self._line = "\t" * self._depth + text
        self._is_after_open = False
        self._has_comment = False

    def _settle(self) -> None:
        self._breaks = 0
        self._is_full = self._is_joined = False

    def _end_line(self) -> None:
        if self._line:
            # A word that ends in a backslash must not join the next line to its own.
            is_joining = self._line.endswith("\\") and not self._has_comment
            self._done.append(self._line + " " if is_joining else self._line)
        self._line = ""
