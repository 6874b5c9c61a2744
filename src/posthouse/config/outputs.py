"""Where a log goes: a file, "stdout", "stderr", or a syslog daemon, as one word of the Caddyfile."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from posthouse.config.hosts import normal_name, normal_v6

STANDARD = ("stdout", "stderr")
LOCAL_SYSLOG = "syslog"
_SYSLOG = re.compile(r"syslog(?:\+(\w+))?://(.*)", re.DOTALL)
_DEFAULT_PORT = 514
"""RFC 5426 3.3; over TCP it is the one in use as well."""

Transport = Literal["unix", "udp", "tcp"]


class SyslogAddress(NamedTuple):
    """Where a daemon listens; "unix" = the local one, without host and port."""

    transport: Transport
    host: str = ""
    port: int = 0


def syslog_address(output: str) -> SyslogAddress | None:
    """`syslog`, `syslog://HOST:PORT` (UDP), `syslog+udp://...`, `syslog+tcp://...`; None: another output.

    ValueError says what is wrong, in a phrase.
    """
    if output == LOCAL_SYSLOG:
        return SyslogAddress("unix")
    found = _SYSLOG.fullmatch(output)
    if found is None:
        return None
    transport, address = found[1] or "udp", found[2]
    if transport not in ("udp", "tcp"):
        raise ValueError(f"syslog is reached over udp or tcp, not `{transport}`")
    host, port = _split(address)
    return SyslogAddress("tcp" if transport == "tcp" else "udp", host, port)


def can_rotate(output: str) -> bool:
    """Whether an output is a file of ours."""
    return output not in STANDARD and output != LOCAL_SYSLOG and _SYSLOG.fullmatch(output) is None


def _split(address: str) -> tuple[str, int]:
    if address.startswith("["):
        inner, bracket, rest = address[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address stands in brackets, and a port behind them")
        host, port = normal_v6(inner), rest[1:]
        has_port = bool(rest)
    else:
        name, colon, port = address.partition(":")
        host, has_port = normal_name(name), bool(colon)
    if not has_port:
        return host, _DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65_536):
        raise ValueError(f"`{port}` is not a port (1 to 65535)")
    return host, int(port)
