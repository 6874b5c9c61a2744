"""Tokens to blocks: which addresses a site has, and where each of its directives ends.

File = blocks; block = addresses, then `{ directives }`, or, without braces, all the rest. What a directive's
words mean is not known here. `import` is followed, snippets are kept, environment placeholders are expanded,
each once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from posthouse.caddyfile.environment import Expander
from posthouse.caddyfile.imports import Imports, Read, Snippet
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.errors import ConfigError, Mistake, Notice, Place

GLOBAL_OPTIONS = (
    "a block of global options, as Caddy 2 has it, is not known: see the options of `posthouse run`"
)
"""The hint for a `{` that opens a file."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One directive as written.

    name    its first word
    tokens  the rest of its line, and its block from the unquoted `{` to the matching `}` if it has one
    """

    name: Token
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One site.

    is_braced  False: it takes all the rest of the configuration, so that an unknown directive in it may be
               meant as the address of another site
    words      it was read from so many, each counted as often as it was imported
    """

    addresses: tuple[Token, ...]
    directives: tuple[Segment, ...]
    is_braced: bool = True
    words: int = 0


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a configuration says.

    mistakes  only from `parse_leniently`; in the order of the files and their lines
    """

    blocks: tuple[Block, ...]
    notices: tuple[Notice, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    words: int = 0
    """As many as were read, each as often as it was imported."""


def parse(text: str, file: str, *, env: Mapping[str, str], read: Read) -> Parsed:
    """Read a whole configuration; files come through `read` (see `imports.Read`).

    Raises ConfigError with all mistakes that the grammar alone can tell.
    """
    parsed = parse_leniently(text, file, env=env, read=read)
    if parsed.mistakes:
        raise ConfigError(list(parsed.mistakes))
    return parsed


def parse_leniently(text: str, file: str, *, env: Mapping[str, str], read: Read) -> Parsed:
    """Like `parse`, but returns the mistakes beside the blocks that could be read in spite of them.

    No blocks are returned when quotes or braces don't match: they would be full of mistakes that nobody made.
    """
    parser = _Parser(read, Expander(env))
    try:
        parser.run(text, file)
    except ConfigError as error:
        mistakes = [*parser.source.mistakes, *error.mistakes]
        return Parsed((), tuple(parser.source.notices), tuple(parser.in_order(mistakes)))
    blocks = () if parser.source.is_unsound else tuple(parser.blocks)
    mistakes = parser.in_order(parser.source.mistakes)
    return Parsed(blocks, tuple(parser.source.notices), tuple(mistakes), parser.source.taken)


class _Parser:
    """Recursive descent without the recursion: blocks within blocks are only counted."""

    def __init__(self, read: Read, expander: Expander) -> None:
        self.source = Imports(read, expander)
        self.blocks: list[Block] = []
        self._expand = expander.expand

    def run(self, text: str, file: str) -> None:
        self.source.open(text, file)
        while token := self.source.peek():
            if token.is_word("import"):
                self.source.splice(self.source.take())
            elif token.is_word("{"):
                hint = "" if self.blocks or self.source.snippets else GLOBAL_OPTIONS
                what = "found `{`, expected the address of a site before it"
                self.source.fail(token.place, what, 1, hint)
                self.source.take_block()
            elif token.is_word("}"):
                self._refuse_close()
            else:
                self._block()

    def in_order(self, mistakes: list[Mistake]) -> list[Mistake]:
        """By file, in the order they were opened, then by line; the same mistake (a file read twice) once."""
        rank = {file: number for number, file in enumerate(self.source.files)}
        unique = list(dict.fromkeys(mistakes))
        return sorted(unique, key=lambda m: (rank.get(m.place.file, -1), m.place.line, m.place.column))

    def _block(self) -> None:
        taken = self.source.taken
        written = self._addresses()
        opening = self.source.peek()
        is_braced = opening is not None and opening.is_word("{")
        snippets = [token for token in written if _is_snippet_name(token)]
        if snippets:
            self._snippet(snippets[0], len(written) == 1, is_braced)
            return
        if is_braced:
            self.source.take()
        directives = self._directives(is_braced)
        addresses = [self._expand(token) for token in written]
        for token in addresses:
            self._judge_address(token)
        if addresses:
            words = self.source.taken - taken
            self.blocks.append(Block(tuple(addresses), tuple(directives), is_braced, words))

    def _addresses(self) -> list[Token]:
        """The addresses before a block as written, without commas; only after one may the next line go on."""
        found: list[Token] = []
        comma: Token | None = None
        while token := self.source.peek():
            if token.is_word("{") or token.is_word("}"):
                break
            if token.is_first and found and comma is None:
                break
            if token.is_first and token.is_word("import"):
                self.source.splice(self.source.take())
                continue
            self.source.take()
            if token.quoted or not token.text.endswith(","):
                comma = None
                found.append(token)
                continue
            address = token.text.rstrip(",")
            if token.text != f"{address}," or (not address and (comma or not found)):
                self.source.fail(_last_place(token), "found a `,` too many, expected an address")
            comma = token
            if address:
                found.append(replace(token, text=address, raw=address, width=len(address)))
        if comma:
            self._refuse_comma(comma, token)
        return found

    def _refuse_comma(self, comma: Token, after: Token | None) -> None:
        what = f"`{after.text}`" if after else "the end of the file"
        message = f"expected another address after this comma, found {what}"
        self.source.fail(_last_place(comma), message, 1, "is the comma one too many?")

    def _judge_address(self, token: Token) -> None:
        if not token.text:
            hint = "an environment variable in it is not set" if "{" in token.raw else ""
            self.source.fail(token.place, f"the address {quote(token)} is empty", token.width, hint)
        elif token.is_word("{}"):
            hint = "write a blank between the braces"
            self.source.fail(token.place, "found `{}` as one word, expected `{`", token.width, hint)

    def _snippet(self, token: Token, is_alone: bool, is_braced: bool) -> None:
        name = token.text[1:-1]
        if not is_alone:
            message = f"the snippet {quote(token)} has its block for itself: found an address beside it"
            self.source.fail(token.place, message, token.width)
        elif not name:
            self.source.fail(token.place, "a snippet needs a name: found `()`", token.width)
        elif not is_braced:
            message = f"expected `{{` after the snippet {quote(token)}"
            self.source.fail(token.place, message, token.width)
            self.source.is_unsound = True
        elif name in self.source.snippets:
            first = self.source.snippets[name].place
            message = f"the snippet {quote(token)} is defined a second time"
            self.source.fail(token.place, message, token.width, f"the first is at {first}")
        else:
            body = self.source.take_block()
            self.source.snippets[name] = Snippet(token.place, body[1:-1])
            return
        if is_braced:
            self.source.take_block()

    def _directives(self, is_braced: bool) -> list[Segment]:
        found: list[Segment] = []
        while token := self.source.peek():
            if token.is_word("}"):
                if is_braced:
                    self.source.take()
                    break
                self._refuse_close()
            elif token.is_word("{"):
                hint = "for a directive it must stand in the same line"
                self.source.fail(token.place, "found `{`, expected a directive", 1, hint)
                self.source.take_block()
            elif token.is_word("import"):
                self.source.splice(self.source.take())
            else:
                found.append(self._segment())
        return found

    def _segment(self) -> Segment:
        name = self._expand(self.source.take())
        if not name.text:
            self.source.fail(name.place, f"the name of this directive, {quote(name)}, is empty", name.width)
        tokens: list[Token] = []
        while (token := self.source.peek_on_line()) and not token.is_word("}"):
            if token.is_word("{"):
                tokens += self._property_block()
                break
            tokens.append(self._expand(self.source.take()))
        return Segment(name, tuple(tokens))

    def _property_block(self) -> list[Token]:
        """From `{` to its `}`, imports at the start of a line followed."""
        tokens: list[Token] = []
        depth = 0
        may_import = False
        while token := self.source.peek():
            self.source.take()
            if token.is_word("import") and (may_import or token.is_first):
                self.source.splice(token)
                continue
            depth += token.is_word("{") - token.is_word("}")
            may_import = token.is_word("{") or token.is_word("}")
            tokens.append(self._expand(token))
            if depth == 0:
                break
        return tokens

    def _refuse_close(self) -> None:
        token = self.source.take()
        self.source.fail(token.place, "found `}`, but no block is open here")


def _last_place(token: Token) -> Place:
    """Where the last character of a word stands."""
    return replace(token.place, column=token.place.column + token.width - 1)


def _is_snippet_name(token: Token) -> bool:
    text = token.text
    return not token.quoted and text.startswith("(") and text.endswith(")")
