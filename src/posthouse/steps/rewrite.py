"""`rewrite`: a request goes to another path of the site; the client does not see it.

Laws:
1. One rule acts, once: of those that match, the one with the longest base, the first of the file among equals.
2. A value from the request is a value in the new target too (url_template.py). What comes out with a dot segment, too
   long, or as no target, is answered with 400: it was put together to lead somewhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

from posthouse.config.patterns import Pattern
from posthouse.config.step_specs import RewriteSpec
from posthouse.protocol.h1 import TARGET_BYTES
from posthouse.protocol.target import has_dot_segments, normalise
from posthouse.proxy.answer import Answer, Visit
from posthouse.steps.conditions import Conditions
from posthouse.steps.url_template import UrlTemplate

Exists = Callable[[str], bool]
"""Whether a path of the site is there: a file, or a folder if it ends with "/"."""

_SLASHES = re.compile(rb"/{2,}")


class Rule:
    """One `rewrite`, compiled. base_key: its base as matchers compare it."""

    __slots__ = ("_conditions", "_destinations", "_extensions", "_is_negated", "_pattern", "base_key", "spec")

    def __init__(self, spec: RewriteSpec, base_key: str) -> None:
        self.spec = spec
        self.base_key = base_key
        self._pattern = Pattern(spec.pattern) if spec.pattern or spec.is_negated else None
        self._is_negated = spec.is_negated
        self._extensions = spec.extensions
        self._conditions = Conditions(spec.conditions)
        self._destinations = [UrlTemplate(text, is_path=True) for text in spec.destinations]

    def match(self, visit: Visit) -> Sequence[bytes] | None:
        """The groups of the expression (none without one) if the rule applies, else None."""
        if not (visit.key.startswith(self.base_key) and self._takes_extension(visit.path)):
            return None
        if not self._conditions.hold(visit):
            return None
        if self._pattern is None:
            return ()
        # The slash at the end of a base belongs to what the expression sees, as in v1.
        start = len(self.base_key) - self.base_key.endswith("/")
        groups = self._pattern.groups(visit.path[start:].encode("utf-8", "surrogateescape"))
        if self._is_negated:
            return () if groups is None else None
        return groups

    def _takes_extension(self, path: str) -> bool:
        if not self._extensions:
            return True
        name = path.rstrip("/").rpartition("/")[2]
        extension = "." + name.rpartition(".")[2] if "." in name else "/"
        for one in self._extensions:
            if one.removeprefix("!") == extension:
                return not one.startswith("!")
        return all(one.startswith("!") for one in self._extensions)

    def target(self, visit: Visit, groups: Sequence[bytes], exists: Exists) -> bytes | None:
        """The first destination that exists, else the last; None if that is no target."""
        for template in self._destinations[:-1]:
            target = _target(template.expand(visit, groups), visit.query)
            if target is not None and exists(_file_path(target)):
                return target
        return _target(self._destinations[-1].expand(visit, groups), visit.query)


class Rewrite:
    """The `rewrite` lines of a site."""

    __slots__ = ("_exists", "_rules")

    def __init__(self, rules: Sequence[Rule], exists: Exists) -> None:
        self._rules = sorted(rules, key=lambda rule: -len(rule.spec.base))
        self._exists = exists

    def __repr__(self) -> str:
        return f"<Rewrite rules={len(self._rules)}>"

    def act(self, visit: Visit) -> Answer | None:
        """Send it elsewhere, if a rule says so."""
        for rule in self._rules:
            groups = rule.match(visit)
            if groups is not None:
                target = rule.target(visit, groups, self._exists)
                if target is None or not visit.retarget(target):
                    return Answer(
                        400, cause=f"the rewrite at {rule.spec.place} makes no target of this request"
                    )
                return None
        return None


def _target(made: bytes, query: bytes) -> bytes | None:
    """A destination as a target: one slash at a time, and the query that came unless it brings its own."""
    path, _, own = made.partition(b"?")
    path = _SLASHES.sub(b"/", b"/" + path)
    target = path + (b"?" + own if own else query)
    # No longer than what a client may send: a field of 64 KB in it would only break at the backend.
    if len(target) > TARGET_BYTES or has_dot_segments(unquote_to_bytes(path)):
        return None
    return target


def _file_path(target: bytes) -> str:
    path = normalise(unquote_to_bytes(target.partition(b"?")[0]))
    return path.decode("utf-8", "surrogateescape")
