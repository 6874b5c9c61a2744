"""Directives: one file each, tokens -> fields of a spec.

DIRECTIVES is the table, and its order is their order of effect, whatever the order in a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from posthouse.caddyfile.dispenser import Dispenser
from posthouse.directives import (
    basicauth,
    bind,
    browse,
    errors,
    ext,
    gzip_lines,
    header,
    hooks,
    index,
    internal,
    limits,
    log,
    metrics,
    mime,
    proxy,
    proxy_protocol,
    push,
    redir,
    request_id,
    rewrite,
    root,
    status,
    tcp,
    timeouts,
    tls,
    trusted_proxies,
)
from posthouse.directives.draft import SiteDraft
from posthouse.directives.foreign import FOREIGN as FOREIGN

Reader = Callable[[Dispenser, SiteDraft], None]
"""Reads one occurrence of a directive into the draft. Raises Rejected, or notes mistakes in the dispenser."""


@dataclass(frozen=True, slots=True)
class Never:
    """A directive of v1 that Posthouse will not have: why, and what to use instead."""

    why: str
    instead: str


DIRECTIVES: dict[str, Reader | Never] = {
    "root": root.read,
    "index": index.read,
    "bind": bind.read,
    "limits": limits.read,
    "timeouts": timeouts.read,
    "tcp": tcp.read,
    "proxy_protocol": proxy_protocol.read,
    "tls": tls.read,
    "startup": hooks.read_startup,
    "shutdown": hooks.read_shutdown,
    "on": hooks.read_on,
    "trusted_proxies": trusted_proxies.read,
    "request_id": request_id.read,
    "log": log.read,
    "rewrite": rewrite.read,
    "ext": ext.read,
    "gzip": gzip_lines.read,
    "header": header.read,
    "errors": errors.read,
    "basicauth": basicauth.read,
    "redir": redir.read,
    "status": status.read,
    "mime": mime.read,
    "internal": internal.read,
    "metrics": metrics.read,
    "pprof": Never("it shows the insides of a Go program", "use a profiler for Python such as py-spy"),
    "expvar": Never("it shows the variables of a Go program", "the access log tells what each request did"),
    "push": push.read,
    "templates": Never("Posthouse makes no pages", "let the application behind `proxy` make them"),
    "proxy": proxy.read,
    "fastcgi": Never(
        "Posthouse speaks HTTP to its backends",
        "put a web server that speaks FastCGI behind it and `proxy` to that",
    ),
    "websocket": Never(
        "it runs a command for each connection",
        "WebSocket upgrades pass `proxy` by themselves; to serve a command, put websocketd behind it",
    ),
    "markdown": Never("Posthouse makes no pages", "let the application behind `proxy` make them"),
    "browse": browse.read,
}
