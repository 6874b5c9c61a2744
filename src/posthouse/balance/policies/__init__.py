"""The policies by the name they have in a Caddyfile. A new one is a file, a line here, and
`testing.check_policy`."""

from __future__ import annotations

from difflib import get_close_matches

from posthouse.balance.policies.client_ip_hash import ClientIpHash
from posthouse.balance.policies.cookie import Cookie
from posthouse.balance.policies.ewma import Ewma
from posthouse.balance.policies.first import First
from posthouse.balance.policies.header import Header
from posthouse.balance.policies.ip_hash import IpHash
from posthouse.balance.policies.least_conn import LeastConn
from posthouse.balance.policies.query import Query
from posthouse.balance.policies.random_choose import RandomChoose
from posthouse.balance.policies.random_pick import RandomPick
from posthouse.balance.policies.round_robin import RoundRobin
from posthouse.balance.policies.sticky import Sticky
from posthouse.balance.policies.uri_hash import UriHash
from posthouse.balance.policy import Policy, Setting
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
    "client_ip_hash": ClientIpHash,
    "random_choose": RandomChoose,
    "ewma": Ewma,
    "sticky": Sticky,
}


def find_policy(spec: PolicySpec, setting: Setting) -> Policy:
    """The policy that `spec` names, made for a pool.

    Raises ConfigError at the spec's place: an unknown name (with the nearest known one), a missing or
    superfluous argument, an argument that cannot be one, `hash_balance` with a policy that does not hash.
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
    if setting.hash_balance and not getattr(policy, "is_hash", False):
        hashes = ", ".join(name for name, one in POLICIES.items() if getattr(one, "is_hash", False))
        message = f"`hash_balance` does nothing with `policy {spec.name}`: it does not hash"
        raise ConfigError(_mistake(spec, message, f"policies that do: {hashes}"))
    try:
        return policy(spec.args, setting)
    except ValueError as error:
        raise ConfigError(
            _mistake(spec, f"`policy {spec.name}`: {error}", f"write `policy {policy.usage}`")
        ) from error


def _unknown(spec: PolicySpec) -> Mistake:
    near = get_close_matches(spec.name.lower(), POLICIES, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known policies: {', '.join(POLICIES)}"
    return _mistake(spec, f"unknown policy `{spec.name}`", hint)


def _mistake(spec: PolicySpec, message: str, hint: str) -> Mistake:
    return Mistake(spec.place, message, max(1, len(spec.name)), hint)
