"""A configuration as JSON, and back. The same one always gives the same text; credentials are never in it."""

from __future__ import annotations

import json
import types
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from posthouse.config.specs import Config
from posthouse.errors import NOWHERE, ConfigError, Mistake, Place

HIDDEN = "***"


def dump(config: Config, *, with_places: bool = True) -> str:
    """JSON, fields in the order of the specs, with a final line break. A place is "file:line:column"."""
    return json.dumps(_plain(config, with_places), indent=2, ensure_ascii=False) + "\n"


def load(text: str) -> Config:
    """The Config that `dump` wrote. A missing field has its default.

    Raises ConfigError: not JSON, a field or value that no Config has, or hidden credentials.
    """
    try:
        config = _rebuilt(Config, json.loads(text), "config")
    except (TypeError, ValueError) as wrong:
        raise ConfigError(Mistake(NOWHERE, f"not a dumped configuration: {wrong}")) from None
    assert isinstance(config, Config)
    return config


def _plain(value: object, with_places: bool) -> Any:
    if isinstance(value, Place):
        return str(value) if value.file or value.line else ""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_spec(value, with_places)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(one, with_places) for one in value]
    return value


def _plain_spec(value: Any, with_places: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    kind: Any = type(value)
    for name in _field_types(kind):
        if name in ("place", "places") and not with_places:
            continue
        plain[name] = _plain(getattr(value, name), with_places)
    plain.update((name, HIDDEN) for name in _secrets(kind) if plain[name])
    return plain


@cache
def _field_types(spec: type) -> dict[str, Any]:
    hints = get_type_hints(spec)
    return {one.name: hints[one.name] for one in fields(spec)}


@cache
def _secrets(spec: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(spec) if one.metadata.get("is_secret"))


def _rebuilt(kind: Any, value: Any, where: str) -> Any:
    """`value` as a `kind`; `where` names it in a ValueError."""
    if kind is Place:
        return _place(value, where)
    if is_dataclass(kind):
        return _rebuilt_spec(kind, value, where)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _rebuilt(args[0], value, where)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{where} must be one of {', '.join(args)}")
        return value
    if origin is tuple:
        return _rebuilt_tuple(args, value, where)
    if origin is frozenset:
        return frozenset(_rebuilt_tuple((args[0], ...), value, where))
    return _scalar(kind, value, where)


def _rebuilt_spec(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object")
    known = _field_types(kind)
    for name in value:
        if name not in known:
            raise ValueError(f"{where} has no `{name}`")
    if any(value.get(name) == HIDDEN for name in _secrets(kind)):
        raise ValueError(f"{where} had credentials, and a dump does not hold them")
    given = {name: _rebuilt(known[name], one, f"{where}.{name}") for name, one in value.items()}
    if "place" in known:
        given.setdefault("place", NOWHERE)
    return kind(**given)


def _rebuilt_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list")
    kinds = [args[0]] * len(value) if args[1:] == (...,) else list(args)
    if len(kinds) != len(value):
        raise ValueError(f"{where} must have {len(kinds)} items")
    return tuple(
        _rebuilt(kind, one, f"{where}[{at}]") for at, (kind, one) in enumerate(zip(kinds, value, strict=True))
    )


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{where} must be {kind.__name__}")
    return value


def _place(value: Any, where: str) -> Place:
    if value == "":
        return NOWHERE
    if not isinstance(value, str):
        raise ValueError(f"{where} must be text")
    file, line, column = value.rsplit(":", 2)
    return Place(file, int(line), int(column))
