"""`basicauth`: a path that asks for a name and a password (RFC 7617).

Laws:
1. Every method is asked, every path as all matchers see it. Of the rules whose path matches, any one lets in.
2. A name that no rule has costs the time of a wrong password: the dearest password of the path is checked instead.
3. What is slow to check is checked elsewhere (`Checks`), once for equal requests that wait together, and remembered
   when it was right: under a keyed digest, for a while, as long as this configuration serves.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from posthouse.protocol.fields import Field
from posthouse.proxy.answer import WAIT, Answer, Visit, Wait
from posthouse.steps.passwords import Password

MOST_BYTES: Final = 1024
"""Of name and password together; longer ones are wrong. Checking takes time in proportion."""
REMEMBERED: Final = 1024
"""Credentials that were right, per site; the oldest is forgotten for a new one."""
REMEMBERED_SECONDS: Final = 300.0
RETRY_SECONDS: Final = 1
"""What a client is told to wait when too many passwords wait to be checked."""


_WRONG: Final = "basicauth: the name or the password is wrong"


class Checks(Protocol):
    """Where slow passwords are checked (server/password_checks.py)."""

    def submit(
        self,
        client: str,
        check: Callable[[], bool],
        done: Callable[[bool], None],
        is_wanted: Callable[[], bool],
        /,
    ) -> bool:
        """Run `check` in another thread, then `done` in the event loop; False: too many wait, nothing will happen.

        Where it `is_wanted` no more before it begins, `done` gets False."""


class Rule:
    """One `basicauth`: a user with a password, and the paths that he may see, as matchers compare them."""

    __slots__ = ("_challenge", "keys", "password", "user")

    def __init__(self, keys: Sequence[str], user: str, password: Password, realm: str) -> None:
        self.keys = tuple(keys)
        self.user = user.encode("utf-8", "surrogateescape")
        self.password = password
        quoted = realm.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8", "surrogateescape")
        self._challenge = Field(b"WWW-Authenticate", b'Basic realm="%b", charset="UTF-8"' % quoted)

    def __repr__(self) -> str:
        return f"<Rule {self.keys!r}>"

    def refuse(self, cause: str) -> Answer:
        """401 with the rule's realm."""
        return Answer(401, (self._challenge,), cause=cause)


class Remembered:
    """Digests of what was right, each for a while. The key is random, so the memory of the process tells nothing."""

    __slots__ = ("_clock", "_key", "_until")

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock
        self._until: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def digest(self, what: bytes) -> bytes:
        """What stands for `what` here."""
        return hmac.digest(self._key, what, "sha256")

    def holds(self, digest: bytes) -> bool:
        """Whether it was right, not too long ago."""
        until = self._until.get(digest)
        if until is None:
            return False
        if self._clock() < until:
            return True
        del self._until[digest]
        return False

    def add(self, digest: bytes) -> None:
        """It was right just now."""
        self._until.pop(digest, None)
        if len(self._until) >= REMEMBERED:
            del self._until[next(iter(self._until))]
        self._until[digest] = self._clock() + REMEMBERED_SECONDS


class BasicAuth:
    """The `basicauth` lines of a site."""

    __slots__ = ("_checks", "_remembered", "_rules", "_waiting")

    def __init__(self, rules: Sequence[Rule], checks: Checks, remembered: Remembered) -> None:
        self._rules = tuple(rules)
        self._checks = checks
        self._remembered = remembered
        self._waiting: dict[bytes, list[Visit]] = {}

    def __repr__(self) -> str:
        return f"<BasicAuth rules={len(self._rules)} waiting={len(self._waiting)}>"

    def act(self, visit: Visit) -> Answer | Wait | None:
        """Let in, or refuse, or say later."""
        places = [place for place, rule in enumerate(self._rules) if visit.key.startswith(rule.keys)]
        if not places:
            return None
        rules = [self._rules[place] for place in places]
        given = credentials(visit.field(b"authorization"))
        if given is None:
            return rules[-1].refuse("")
        user, password = given
        fitting: list[Password] = [rule.password for rule in rules if hmac.compare_digest(rule.user, user)]
        if _is_any([one for one in fitting if not one.cost], password):
            visit.authenticate(user.decode("latin-1"))
            return None
        slow = [one for one in fitting if one.cost]
        dearest = max((rule.password for rule in rules), key=lambda one: one.cost)
        if not dearest.cost:
            return rules[-1].refuse(_WRONG)
        if max((one.cost for one in slow), default=0) < dearest.cost:
            slow.append(_Decoy(dearest))
        digest = self._remembered.digest(b"%b\0%b:%b" % (repr(places).encode(), user, password))
        if self._remembered.holds(digest):
            visit.authenticate(user.decode("latin-1"))
            return None
        return self._check(visit, digest, slow, (rules[-1], user, password))

    def _check(
        self, visit: Visit, digest: bytes, slow: Sequence[Password], asked: tuple[Rule, bytes, bytes]
    ) -> Answer | Wait:
        rule, user, password = asked
        waiting = self._waiting.get(digest)
        if waiting is not None:
            waiting.append(visit)
            return WAIT
        waiting = [visit]

        def check() -> bool:
            return _is_any(slow, password)

        def is_wanted() -> bool:
            return not all(one.is_finished for one in waiting)

        def done(is_right: bool) -> None:
            del self._waiting[digest]
            if is_right:
                self._remembered.add(digest)
            for one in waiting:
                if one.is_finished:
                    continue
                if is_right:
                    one.authenticate(user.decode("latin-1"))
                one.resume(None if is_right else rule.refuse(_WRONG))

        if not self._checks.submit(visit.client_ip, check, done, is_wanted):
            after = Field(b"Retry-After", b"%d" % RETRY_SECONDS)
            return Answer(503, (after,), cause="too many passwords wait to be checked")
        self._waiting[digest] = waiting
        return WAIT


class _Decoy:
    """Takes the time of a password and never matches."""

    __slots__ = ("_password", "cost")

    def __init__(self, password: Password) -> None:
        self._password = password
        self.cost = password.cost

    def matches(self, given: bytes) -> bool:
        self._password.matches(given)
        return False


def _is_any(passwords: Sequence[Password], given: bytes) -> bool:
    """Whether one of them matches; looks at all, so that the time does not tell which."""
    return sum(one.matches(given) for one in passwords) > 0


def credentials(field: bytes | None) -> tuple[bytes, bytes] | None:
    """Name and password of an Authorization field; None if it holds none (RFC 7617 2)."""
    scheme, _, token = (field or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        text = base64.b64decode(token.strip(b" "), validate=True)
    except binascii.Error:
        return None
    user, colon, password = text.partition(b":")
    if not colon or len(text) > MOST_BYTES:
        return None
    return user, password
