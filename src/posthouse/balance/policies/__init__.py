"""The policies by the name they have in a Caddyfile. A new one is a file, a line here, and
`testing.check_policy`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from difflib import get_close_matches

from posthouse.balance.backend import Backend
from posthouse.balance.policies.cookie import Cookie
from posthouse.balance.policies.first import First
from posthouse.balance.policies.header import Header
from posthouse.balance.policies.ip_hash import IpHash
from posthouse.balance.policies.least_conn import LeastConn
from posthouse.balance.policies.query import Query
from posthouse.balance.policies.random_pick import RandomPick
from posthouse.balance.policies.round_robin import RoundRobin
from posthouse.balance.policies.uri_hash import UriHash
from posthouse.balance.policy import Policy
from posthouse.config.specs import PolicySpec
from posthouse.errors import ConfigError, Mistake

POLICIES: dict[str, type[Policy]] = {
    "random": RandomPick,
    "least_conn": LeastConn,
    "round_robin": RoundRobin,
    "first": First,
    "ip_hash": IpHash,
    "uri_hash": UriHash,
    "header": Header,
    "query": Query,
    "cookie": Cookie,
}

_LATER = frozenset({"client_ip_hash", "ewma", "random_choose", "sticky"})


def find_policy(spec: PolicySpec, backends: Sequence[Backend], rng: random.Random) -> Policy:
    """The policy that `spec` names, made for `backends` (all of the pool, in the order of the file).

    Raises ConfigError at the spec's place: an unknown name (with the nearest known one), a missing or
    superfluous argument, an argument that cannot be one.
    """
    policy = POLICIES.get(spec.name)
    if policy is None:
        raise ConfigError(_unknown(spec))
    least, most = policy.arguments
    if len(spec.args) < least:
        raise ConfigError(
            _mistake(spec, f"`policy {spec.name}` needs an argument", f"write `policy {policy.usage}`")
        )
    if len(spec.args) > most:
        extra = " ".join(spec.args[most:])
        message = f"too many arguments for `policy {spec.name}`: {extra!r}"
        raise ConfigError(_mistake(spec, message, f"write `policy {policy.usage}`"))
    try:
        return policy(spec.args, backends, rng)
    except ValueError as error:
        raise ConfigError(
            _mistake(spec, f"`policy {spec.name}`: {error}", f"write `policy {policy.usage}`")
        ) from error


def _unknown(spec: PolicySpec) -> Mistake:
    if spec.name in _LATER:
        return _mistake(spec, f"policy `{spec.name}` is not in this release yet", "")
    near = get_close_matches(spec.name.lower(), POLICIES, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known policies: {', '.join(POLICIES)}"
    return _mistake(spec, f"unknown policy `{spec.name}`", hint)


def _mistake(spec: PolicySpec, message: str, hint: str) -> Mistake:
    return Mistake(spec.place, message, max(1, len(spec.name)), hint)
