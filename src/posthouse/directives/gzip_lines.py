"""`gzip` or `gzip { ext EXT... · not PATH... · level N · min_length SIZE }`: which responses are compressed."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.specs import GzipSpec
from posthouse.directives.arguments import OFF, Rejected, count, each, path, size
from posthouse.directives.draft import SiteDraft

_TABLE = {"ext": Arity(1, None), "not": Arity(1, None), "level": Arity(1, 1), "min_length": Arity(1, 1)}
_OTHERS = frozenset(("zstd", "br", "brotli", "deflate"))
_DEFAULT = GzipSpec()


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.gzips`. In the block, `ext` and `not` add up; of the others the last counts. Raises Rejected."""
    args = dispenser.args
    if args and args[0].text in _OTHERS:
        raise Rejected(
            args[0], f"expected nothing or a block, found {quote(args[0])}", "gzip is the only coding"
        )
    if not dispenser.check_args(Arity(0, 0)):
        return
    block = _Block()
    if dispenser.has_block:
        each(dispenser, dispenser.properties(_TABLE), block.read_one)
    site.gzips.append(
        GzipSpec(
            tuple(dict.fromkeys(block.extensions)) or _DEFAULT.extensions,
            tuple(dict.fromkeys(block.excepts)),
            block.level,
            block.min_length,
            dispenser.name.place,
        )
    )


class _Block:
    """What the properties have said so far."""

    def __init__(self) -> None:
        self.extensions: list[str] = []
        self.excepts: list[str] = []
        self.level = _DEFAULT.level
        self.min_length = _DEFAULT.min_length

    def read_one(self, one: Property) -> None:
        match one.name.text:
            case "ext":
                self.extensions += [_extension(arg) for arg in one.args]
            case "not":
                self.excepts += [_excluded(arg) for arg in one.args]
            case "level":
                self.level = _level(one.args[0])
            case _:
                self.min_length = _least(one.args[0])


def _extension(arg: Token) -> str:
    text = arg.text
    if text in ("", "*"):
        return text
    if not text.startswith("."):
        raise Rejected(
            arg, f"an extension must begin with a dot, found {quote(arg)}", f"did you mean `.{text}`?"
        )
    if "/" in text or "." in text[1:]:
        raise Rejected(arg, f"an extension is what follows the last dot of a path, found {quote(arg)}")
    return text


def _excluded(arg: Token) -> str:
    if arg.text == "/":
        raise Rejected(arg, "`not /` leaves nothing to compress", "leave out `gzip`")
    return path(arg, "the path of `not`")


def _level(arg: Token) -> int:
    number = count(arg)
    if not 1 <= number <= 9:
        raise Rejected(arg, f"expected a level from 1 to 9, found {quote(arg)}")
    return number


def _least(arg: Token) -> int:
    if arg.text == OFF:
        raise Rejected(
            arg, "expected a size such as `1KB`, found `off`", "write `min_length 1` for everything"
        )
    return size(arg)
