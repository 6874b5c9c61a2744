"""Frozen data of the directives that act before the route: `rewrite`, `basicauth`, `redir`, `status`."""

from __future__ import annotations

from dataclasses import dataclass, field

from posthouse.errors import NOWHERE, Place


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """`if LEFT OP RIGHT`. Both sides are templates, but for `match`, whose right side is an expression.

    op  "is", "not", "has", "starts_with", "ends_with" or "match", any of them also with "not_" before it
    """

    left: str
    op: str
    right: str
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class ConditionsSpec:
    """The `if` lines of a block; is_any: one of them is enough (`if_op or`)."""

    all: tuple[ConditionSpec, ...] = ()
    is_any: bool = False


@dataclass(frozen=True, slots=True)
class RewriteSpec:
    """One `rewrite`, of either form.

    base          paths that begin so; the rule with the longest one that matches acts
    pattern       an expression that the path after `base` must match, "" = any path
    is_negated    it must not match
    extensions    ".php", "/" = none; a "!" before one excludes it
    destinations  templates: the first that exists below the site's root, else the last
    """

    destinations: tuple[str, ...]
    base: str = "/"
    pattern: str = ""
    is_negated: bool = False
    extensions: tuple[str, ...] = ()
    conditions: ConditionsSpec = ConditionsSpec()
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class RedirectSpec:
    """One line of `redir`.

    source   the path that is redirected, "/" = any
    to       a template
    status   300 to 308; is_meta: a page that redirects instead
    """

    source: str
    to: str
    status: int = 301
    is_meta: bool = False
    conditions: ConditionsSpec = ConditionsSpec()
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class BasicAuthSpec:
    """One `basicauth`: a user whom these paths let in.

    password  as written, plain or a bcrypt hash; never shown
    file      where the password of `user` stands instead (htpasswd), "" = none
    """

    user: str
    password: str = field(default="", repr=False, metadata={"is_secret": True})
    file: str = ""
    paths: tuple[str, ...] = ()
    realm: str = "Restricted"
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class StatusSpec:
    """One path of a `status`."""

    status: int
    path: str
    place: Place = field(default=NOWHERE, compare=False)
