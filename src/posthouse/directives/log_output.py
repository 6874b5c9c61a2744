"""What `log` and `errors` share: where lines go, and the rotation of a file."""

from __future__ import annotations

from dataclasses import replace

from posthouse.caddyfile.dispenser import Arity, Property
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import quote
from posthouse.config.outputs import can_rotate, syslog_address
from posthouse.config.specs import RotationSpec
from posthouse.directives.arguments import OFF, Rejected
from posthouse.errors import Notice

ROTATION: dict[str, Arity] = {
    "rotate_size": Arity(1, 1),
    "rotate_age": Arity(1, 1),
    "rotate_keep": Arity(1, 1),
    "rotate_compress": Arity(0, 0),
    "rotate_disable": Arity(0, 0),
}
_MEGABYTE = 1 << 20
_DAY = 86_400.0


def read_output(arg: Token) -> str:
    """A file, `stdout`, `stderr` or a syslog daemon, as written. Raises Rejected."""
    text = arg.text
    if arg.is_word(OFF):
        hint = f"leave the directive out to write no log; a file of that name is written `./{OFF}`"
        raise Rejected(arg, f"{quote(arg)} is no place to write to", hint)
    if not text or "\0" in text:
        raise Rejected(arg, "expected a file, `stdout`, `stderr` or `syslog`, found an empty name")
    try:
        syslog_address(text)
    except ValueError as wrong:
        hint = "write `syslog`, `syslog://HOST:PORT` or `syslog+tcp://HOST:PORT`"
        raise Rejected(arg, f"`{text}` is no address of a syslog daemon: {wrong}", hint) from None
    return text


def read_rotation(one: Property, so_far: RotationSpec | None) -> RotationSpec:
    """The rotation with one more `rotate_*` line of its block. Raises Rejected."""
    rotation = so_far or RotationSpec(place=one.name.place)
    match one.name.text:
        case "rotate_size":
            return replace(rotation, size=_number(one, "megabytes", 1) * _MEGABYTE)
        case "rotate_age":
            days = _number(one, "days", 0)
            return replace(rotation, age=days * _DAY if days else None)
        case "rotate_keep":
            return replace(rotation, keep=_number(one, "files", 0) or None)
        case "rotate_compress":
            return replace(rotation, is_compressed=True)
        case _:
            return replace(rotation, is_off=True)


def rotation_notices(output: str, rotation: RotationSpec | None, *, is_log: bool = True) -> list[Notice]:
    """What to say of a rotation that has nothing to rotate; v1 takes it without a word."""
    if rotation is None or (is_log and can_rotate(output)):
        return []
    return [Notice(rotation.place, f"`rotate_*` has no effect: `{output}` is not a file", len("rotate_"))]


def _number(one: Property, of: str, least: int) -> int:
    token = one.args[0]
    text = token.text
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < least:
        what = f"{quote(one.name)} expects a whole number of {of}, {least} or more: found {quote(token)}"
        turn_off = "to turn rotation off, write `rotate_disable`" if one.name.text == "rotate_size" else ""
        raise Rejected(token, what, turn_off)
    return int(text)
