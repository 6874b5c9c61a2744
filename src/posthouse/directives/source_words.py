"""A TO of the `proxy` directive that stands for backends found while we run, as text -> its SourceSpec.

Forms: `srv://[user:password@]NAME[/base][?query]`, `dns://[user:password@]NAME[:PORT][/base][?query]`, both with
`+https` behind `srv` or `dns`, and `file:PATH`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, Literal

from posthouse.caddyfile.messages import quote
from posthouse.config.hosts import is_ip
from posthouse.config.specs import EndpointSpec, Scheme, SourceSpec
from posthouse.endpoints import PORTS, BadEndpoint, parse_endpoints
from posthouse.errors import Place

_FILE: Final = "file:"
_DNS: Final = re.compile(r"(srv|dns)(\+https?)?://", re.IGNORECASE)


def parse_source(text: str, place: Place, position: int) -> SourceSpec | None:
    """The source that a TO is, or None for one that names its backend itself. Raises BadEndpoint."""
    if text.lower().startswith(_FILE):
        return _file(text, place, position)
    match = _DNS.match(text)
    if match is None:
        return None
    kind: Literal["srv", "dns"] = "srv" if match[1].lower() == "srv" else "dns"
    scheme: Scheme = "https" if (match[2] or "").lower() == "+https" else "http"
    return _dns(kind, scheme, text[match.end() :], place, position)


def _dns(kind: Literal["srv", "dns"], scheme: Scheme, rest: str, place: Place, position: int) -> SourceSpec:
    written = kind if scheme == "http" else f"{kind}+https"
    if not rest:
        raise BadEndpoint(f"`{written}://` has no name to ask the DNS for")
    found = parse_endpoints(f"http://{rest}", place)
    one = found[0]
    shown = quote(f"{written}://{one.text.removeprefix('http://')}")
    if not one.host:
        raise BadEndpoint(f"{shown} has no name to ask the DNS for")
    if is_ip(one.host):
        raise BadEndpoint(f"{shown} is an address: there is nothing to look up", "write `http://HOST:PORT`")
    if len(found) > 1:
        raise BadEndpoint(
            f"{shown} has a range of ports: `{kind}://` takes one name", "write one TO for each port"
        )
    as_written, has_port, _ = one.authority.partition(":")
    if kind == "srv" and has_port:
        raise BadEndpoint(f"{shown} has a port, but ports come from the SRV records", "leave the port out")
    member = replace(
        one,
        text=f"{scheme}://{one.text.removeprefix('http://')}",
        scheme=scheme,
        port=0 if kind == "srv" else one.port if has_port else PORTS[scheme],
        server_name=certified_name(one.host) if scheme == "https" else "",
    )
    text = f"{written}://{one.text.removeprefix('http://')}"
    # A last dot says that the name is whole: search domains are not tried.
    name = f"{one.host}." if as_written.endswith(".") else one.host
    return SourceSpec(kind, text, name, member, position, place)


def certified_name(name: str) -> str:
    """The name that certificates of its members are for: the service's domain (RFC 9525 6.1), which no DNS answer can
    change. In a name such as `_https._tcp.example.com` that is what follows the labels that begin with `_`."""
    labels = name.split(".")
    while len(labels) > 1 and labels[0].startswith("_"):
        del labels[0]
    return ".".join(labels)


def _file(text: str, place: Place, position: int) -> SourceSpec:
    path = text[len(_FILE) :]
    if path.startswith("///"):
        path = path[2:]
    if path.startswith("//"):
        raise BadEndpoint(
            f"{quote(text)} names no file: a host would follow `file://`", f"write `file:{path[1:]}`"
        )
    if not path or path.endswith("/") or "\0" in path:
        raise BadEndpoint(f"{quote(text)} names no file", "write `file:PATH`")
    return SourceSpec("file", text, path, EndpointSpec(text, "http", "", 0), position, place)
