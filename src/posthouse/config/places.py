"""Places of specs: a spec whose text has moved in its file becomes the same spec with its places moved."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from posthouse.errors import Place

_T = TypeVar("_T")


def moved(spec: _T, move: Callable[[Place], Place]) -> _T:
    """The spec, equal to it, with `move` applied to every place in it."""
    found: _T = _moved(spec, move)
    return found


def _moved(value: Any, move: Callable[[Place], Place]) -> Any:
    kind: Any = type(value)
    if kind is Place:
        return move(value)
    if kind is tuple:
        return tuple([_moved(one, move) for one in value]) if value else value
    shape = _shape(kind)
    if shape is None:
        return value
    values, placed = list(shape[0](value)), shape[1]
    for index in placed:
        values[index] = _moved(values[index], move)
    return kind(*values)


@cache
def _shape(kind: type) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[int, ...]] | None:
    """How to take the fields of a spec, in their order, and which of them may hold places; None: it has none."""
    if not is_dataclass(kind) or not _may_hold_place(kind):
        return None
    hints = get_type_hints(kind)
    names = [one.name for one in fields(kind)]
    placed = tuple(index for index, name in enumerate(names) if _may_hold_place(hints[name]))
    # With a single name it would answer the value itself.
    return attrgetter(*names) if len(names) > 1 else (lambda value: (getattr(value, names[0]),)), placed


def _may_hold_place(kind: Any) -> bool:
    if kind is Place:
        return True
    if get_origin(kind) in (tuple, Union, types.UnionType):
        return any(_may_hold_place(one) for one in get_args(kind))
    return is_dataclass(kind) and any(_may_hold_place(one) for one in get_type_hints(kind).values())
