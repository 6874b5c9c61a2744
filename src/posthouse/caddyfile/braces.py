"""Do the braces of one file match? Judged before anything else, so that what follows can rely on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from posthouse.caddyfile.lexer import MAX_MISTAKES, Token
from posthouse.caddyfile.messages import quote
from posthouse.errors import Mistake


@dataclass(slots=True)
class _Pairing:
    """Indices into the tokens of a file."""

    pairs: list[tuple[int, int]] = field(default_factory=list)
    unclosed: list[int] = field(default_factory=list)
    unopened: list[int] = field(default_factory=list)


def balance(tokens: Sequence[Token]) -> tuple[list[Token], list[Mistake]]:
    """The tokens with matching braces, and what had to be mended for that.

    A brace belongs to the file it stands in: an imported file can neither open nor close a block of another.
    A `}` too many is left out, a missing one is added at the end.
    """
    pairing = _pair(tokens)
    if not pairing.unclosed and not pairing.unopened:
        return list(tokens), []
    return _mend(tokens, pairing), _explain(tokens, pairing)


def _pair(tokens: Sequence[Token]) -> _Pairing:
    found = _Pairing()
    for index, token in enumerate(tokens):
        if token.is_word("{"):
            found.unclosed.append(index)
        elif token.is_word("}"):
            if found.unclosed:
                found.pairs.append((found.unclosed.pop(), index))
            else:
                found.unopened.append(index)
    return found


def _mend(tokens: Sequence[Token], pairing: _Pairing) -> list[Token]:
    left_out = frozenset(pairing.unopened)
    mended: list[Token] = []
    is_first = False
    for index, token in enumerate(tokens):
        if index in left_out:
            is_first = is_first or token.is_first
            continue
        mended.append(replace(token, is_first=True) if is_first else token)
        is_first = False
    last = tokens[-1]
    closing = replace(last, text="}", quoted=False, width=1, raw="}", is_first=True)
    return mended + [closing] * len(pairing.unclosed)


def _explain(tokens: Sequence[Token], pairing: _Pairing) -> list[Mistake]:
    glued = list(islice(filter(_is_glued, tokens), MAX_MISTAKES))
    if glued:
        return [_glued_mistake(token) for token in glued]
    hint = _missing_open(tokens, pairing)
    mistakes: list[Mistake] = []
    for index in pairing.unopened[:MAX_MISTAKES]:
        message = "this `}` closes nothing: no `{` is open here"
        mistakes.append(Mistake(tokens[index].place, message, 1, hint))
        hint = ""
    hint = _missing_close(tokens, pairing)
    for index in pairing.unclosed[: MAX_MISTAKES - len(mistakes)]:
        message = "this `{` is never closed: found the end of the file, expected `}`"
        mistakes.append(Mistake(tokens[index].place, message, 1, hint))
        hint = ""
    return mistakes


def _is_glued(token: Token) -> bool:
    text = token.text
    if token.quoted or len(text) < 2:
        return False
    return text.endswith("{") or (text.endswith("}") and "{" not in text)


def _glued_mistake(token: Token) -> Mistake:
    brace = token.text[-1]
    message = f"found {quote(token)}, expected `{brace}` as a word of its own"
    return Mistake(token.place, message, token.width, f"write a blank before the `{brace}`")


def _missing_open(tokens: Sequence[Token], pairing: _Pairing) -> str:
    """Why there is a `}` too many, judged by indentation, or by there being no `{` at all."""
    if not pairing.unopened:
        return ""
    heads = _line_heads(tokens)
    for opened, closed in sorted(pairing.pairs):
        close = tokens[closed]
        if close.is_first and close.place.column > heads[opened].place.column:
            return f"by its indentation, the `}}` in line {close.place.line} may be the one too many"
    first = pairing.unopened[0]
    if first == 0 or any(token.is_word("{") for token in tokens[:first]):
        return ""
    return f"is a `{{` missing after {quote(tokens[0])} in line {tokens[0].place.line}?"


def _missing_close(tokens: Sequence[Token], pairing: _Pairing) -> str:
    """Where a `}` is probably missing, judged by indentation: the grammar alone only knows that one is."""
    if not pairing.unclosed:
        return ""
    heads = _line_heads(tokens)
    for opened, closed in sorted(pairing.pairs):
        close, head = tokens[closed], heads[opened]
        if close.is_first and close.place.column < head.place.column:
            line = _first_outside(tokens[opened + 1 : closed + 1], head)
            return f"by its indentation, a `}}` is missing before line {line.place.line}"
    opened = pairing.unclosed[-1]
    for index in range(opened + 1, len(tokens)):
        token = tokens[index]
        is_block = token.is_word("{") and heads[index].place.line > tokens[opened].place.line
        if is_block and heads[index].place.column <= heads[opened].place.column:
            return f"by its indentation, a `}}` is missing before line {heads[index].place.line}"
    return ""


def _first_outside(tokens: Sequence[Token], head: Token) -> Token:
    """The first that begins a line no deeper than the one which opened the block: the last one, if none does."""
    lines = (token for token in tokens if token.is_first and token.place.line > head.place.line)
    return next((token for token in lines if token.place.column <= head.place.column), tokens[-1])


def _line_heads(tokens: Sequence[Token]) -> list[Token]:
    """For every token, the token that begins its line."""
    heads: list[Token] = []
    for token in tokens:
        heads.append(token if token.is_first or not heads else heads[-1])
    return heads
