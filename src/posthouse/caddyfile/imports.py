"""The tokens of a configuration in order, with the files and snippets that it imports spliced in.

The grammar above this does not see where one file ends and the next begins, but braces match within each file
(`braces.balance`), and a line never goes on in another file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import replace

from posthouse.caddyfile.braces import balance
from posthouse.caddyfile.environment import Expander
from posthouse.caddyfile.lexer import MAX_MISTAKES, MAX_TOKENS, Token, lex_leniently
from posthouse.caddyfile.messages import did_you_mean, quote
from posthouse.errors import ConfigError, Mistake, Notice, Place

MAX_DEPTH = 32
"""Imports within imports. Cycles are found by name; this ends those that hide behind symbolic links."""
MAX_SIZE = 4 * 1024 * 1024
"""Characters of all files together, each counted once."""

Read = Callable[[str], list[tuple[str, str]]]
"""Pattern -> the (name, text) of every file that it matches; raises OSError or ValueError (not UTF-8).

The pattern is absolute, or relative to the folder that the first file's name is relative to. `*` and `?`
match within one path segment.
"""


class Snippet:
    """A named piece of configuration: `(name) { ... }`."""

    __slots__ = ("place", "tokens")

    def __init__(self, place: Place, tokens: list[Token]) -> None:
        self.place = place
        self.tokens = tokens


class _Frame:
    """One file or snippet being read.

    origin  the argument of the `import` that named it, None for the first file
    rest    further files of the same import, the next one last: they come when this one ends, not inside it
    """

    __slots__ = ("index", "key", "origin", "rest", "tokens")

    def __init__(self, key: str, tokens: list[Token], origin: Place | None) -> None:
        self.key = key
        self.tokens = _begin_line(tokens)
        self.origin = origin
        self.rest: list[_Frame] = []
        self.index = 0


class Imports:
    """The cursor that the parser reads with; `splice` puts an import in place of the statement just taken.

    snippets  by name, filled by the parser
    mistakes  of every file read so far, in the order found
    taken     words so far
    is_unsound  quotes or braces don't match in one of the files
    """

    def __init__(self, read: Read, expander: Expander) -> None:
        self.snippets: dict[str, Snippet] = {}
        self.mistakes: list[Mistake] = []
        self.notices: list[Notice] = []
        self.files: list[str] = []
        self.is_unsound = False
        self._read = read
        self._expander = expander
        self._frames: list[_Frame] = []
        self._by_pattern: dict[str, list[str]] = {}
        self._by_name: dict[str, list[Token]] = {}
        self._size = 0
        self._lexed = 0
        self.taken = 0

    def open(self, text: str, file: str) -> None:
        """Begin with the first file."""
        self._frames.append(_Frame(_file_key(file), self._load(file, text, None), None))

    def fail(self, place: Place, message: str, width: int = 1, hint: str = "") -> None:
        """Note a mistake. Raises ConfigError with all of them when there are too many to go on."""
        self.mistakes.append(Mistake(place, message, width, hint))
        if len(self.mistakes) >= MAX_MISTAKES:
            raise ConfigError(self.mistakes)

    def peek(self) -> Token | None:
        """The next token, whichever file it is in; None at the end."""
        while self._frames:
            frame = self._frames[-1]
            if frame.index < len(frame.tokens):
                return frame.tokens[frame.index]
            self._frames.pop()
            if frame.rest:
                following = frame.rest.pop()
                following.rest = frame.rest
                self._frames.append(following)
        return None

    def peek_on_line(self) -> Token | None:
        """The next token if it stands on the same line as the one just taken."""
        frame = self._frames[-1]
        if frame.index >= len(frame.tokens):
            return None
        token = frame.tokens[frame.index]
        return None if token.is_first else token

    def take(self) -> Token:
        """Consume the token that `peek` or `peek_on_line` has just shown."""
        frame = self._frames[-1]
        token = frame.tokens[frame.index]
        frame.index += 1
        self.taken += 1
        # A few snippets that each import another one twice would otherwise grow without end.
        if self.taken > MAX_TOKENS:
            message = f"with everything imported the configuration has more than {MAX_TOKENS} words"
            self.mistakes.append(Mistake(token.place, message, token.width, self._chain(token)))
            raise ConfigError(self.mistakes)
        return token

    def splice(self, statement: Token) -> None:
        """Read the arguments of an `import` whose first word was just taken, and go on with what it names."""
        args: list[Token] = []
        while (token := self.peek_on_line()) and not token.is_word("{") and not token.is_word("}"):
            args.append(self.take())
        if (token := self.peek_on_line()) and token.is_word("{"):
            self.fail(token.place, "found `{` after `import`, expected the end of the line")
            self.take_block()
        elif len(args) == 1:
            self._import(self._expander.expand(args[0]))
        elif not args:
            message = "`import` needs the name of a file, a pattern or a snippet: found nothing"
            self.fail(statement.place, message, statement.width)
        else:
            self.fail(
                args[1].place, f"`import` takes one argument: found {quote(args[1])} too", args[1].width
            )

    def take_block(self) -> list[Token]:
        """Consume a `{`, which comes next, and all up to the `}` that closes it; imports are left alone."""
        tokens: list[Token] = []
        depth = 0
        while True:
            token = self.take()
            tokens.append(token)
            depth += token.is_word("{") - token.is_word("}")
            if depth == 0:
                return tokens

    def _import(self, target: Token) -> None:
        name = target.text
        if not name:
            self.fail(target.place, f"`import` needs a name: {quote(target)} is empty", target.width)
        elif len(self._frames) > MAX_DEPTH:
            message = f"imports within imports more than {MAX_DEPTH} deep"
            self.fail(target.place, message, target.width, self._chain(target))
        elif name in self.snippets:
            self._push([_Frame(f"({name})", self.snippets[name].tokens, target.place)], target)
        else:
            names = self._find(target)
            frames = [_Frame(_file_key(found), self._by_name[found], target.place) for found in names]
            self._push(frames, target)

    def _push(self, frames: list[_Frame], target: Token) -> None:
        """Let the frames come next, in their order. One that is already being read is a cycle."""
        active = {frame.key for frame in self._frames}
        for frame in frames:
            if frame.key in active:
                message = f"this import never ends: {self._chain(target)} → {frame.key}"
                self.fail(target.place, message, target.width)
                return
        if frames:
            first, *rest = frames
            first.rest = rest[::-1]
            self._frames.append(first)

    def _find(self, target: Token) -> list[str]:
        """The names of the files that an import means, loaded, in sorted order."""
        pattern = target.text
        fault = _pattern_fault(pattern)
        if fault:
            self.fail(target.place, f"{fault}: found {quote(pattern)}", target.width)
            return []
        path = posixpath.join(posixpath.dirname(target.place.file), pattern)
        if path not in self._by_pattern and not self._read_files(path, target):
            return []
        names = self._by_pattern[path]
        if names:
            return names
        if "*" in pattern or "?" in pattern:
            self.notices.append(Notice(target.place, f"no file matches {quote(pattern)}", target.width))
        else:
            hint = did_you_mean(pattern, self.snippets)
            if not hint and not set("./") & set(pattern):
                hint = "a snippet must come before its use"
            message = f"found neither a file nor a snippet called {quote(pattern)}"
            self.fail(target.place, message, target.width, hint)
        return []

    def _read_files(self, path: str, target: Token) -> bool:
        try:
            files = sorted(self._read(path))
        except OSError as error:
            self.fail(target.place, f"cannot read {quote(path)}: {error.strerror or error}", target.width)
            return False
        except ValueError as error:
            why = "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)
            self.fail(target.place, f"cannot read {quote(path)}: {why}", target.width)
            return False
        for name, text in files:
            if name not in self._by_name:
                self._by_name[name] = self._load(name, text, target)
        self._by_pattern[path] = [name for name, _ in files]
        return True

    def _load(self, file: str, text: str, target: Token | None) -> list[Token]:
        self._size += len(text)
        if self._size > MAX_SIZE:
            message = f"the configuration has more than {MAX_SIZE >> 20} MB of text"
            place = target.place if target else Place(file, 1, 1)
            self.mistakes.append(Mistake(place, message, target.width if target else 1))
            raise ConfigError(self.mistakes)
        self.files.append(file)
        tokens, lexical = lex_leniently(text, file, MAX_TOKENS - self._lexed)
        self._lexed += len(tokens)
        tokens, unbalanced = balance(tokens)
        # After an unclosed quote the braces are anybody's guess.
        self.is_unsound = self.is_unsound or bool(lexical or unbalanced)
        for mistake in lexical or unbalanced:
            self.fail(mistake.place, mistake.message, mistake.width, mistake.hint)
        return tokens

    def _chain(self, target: Token) -> str:
        """How reading got to `target`: `Caddyfile:3 → sites/a.conf:1`."""
        origins = [frame.origin for frame in self._frames if frame.origin] + [target.place]
        steps = [f"{origin.file}:{origin.line}" for origin in origins]
        if len(steps) > 8:
            steps[4:-3] = ["…"]
        return " → ".join(steps)


def _file_key(name: str) -> str:
    return posixpath.normpath(name) if name else name


def _begin_line(tokens: list[Token]) -> list[Token]:
    if not tokens or tokens[0].is_first:
        return tokens
    return [replace(tokens[0], is_first=True), *tokens[1:]]


def _pattern_fault(pattern: str) -> str:
    if "[" in pattern:
        return "a pattern of `import` has no `[`"
    if pattern.count("*") > 1 or pattern.count("?") > 1:
        return "a pattern of `import` has at most one `*` and one `?`"
    return ""
