"""Names of directives that people bring from elsewhere: Caddy 2, nginx, and the plugins of Caddy v1."""

from __future__ import annotations

from typing import Final

_NO_BLOCKS: Final = "directives do not nest here: each takes a path, and they act in a fixed order"

_ELSEWHERE: Final = {
    "reverse_proxy": "that is Caddy 2's; here it is `proxy FROM TO...`",
    "encode": "that is Caddy 2's; here it is `gzip`",
    "file_server": "that is Caddy 2's; here `root DIR` serves the files of a folder",
    "try_files": "that is Caddy 2's; here it is `rewrite { to FILE... }`",
    "uri": "that is Caddy 2's; here it is `rewrite`, or `without PREFIX` in the block of `proxy`",
    "respond": "that is Caddy 2's; here it is `status CODE PATH...`",
    "error": "that is Caddy 2's; here it is `status CODE PATH...`",
    "basic_auth": "that is Caddy 2's; here it is `basicauth PATH USER PASSWORD`",
    "request_body": "that is Caddy 2's; here it is `limits { body SIZE }`",
    "php_fastcgi": "put a web server that speaks FastCGI behind Posthouse and `proxy` to that",
    "handle": _NO_BLOCKS,
    "handle_path": _NO_BLOCKS,
    "handle_errors": "that is Caddy 2's; here it is `errors { CODE PAGE }`",
    "route": _NO_BLOCKS,
    "request_header": "that is Caddy 2's; here it is `header_upstream NAME VALUE` in the block of `proxy`",
    "proxy_pass": "that is nginx's; here it is `proxy FROM TO...`",
    "location": "that is nginx's; here each directive takes a path: `proxy PATH TO...`",
    "upstream": "it is a property, inside the block of `proxy`",
    "proxyprotocol": "here it is `proxy_protocol RANGE...`",
}

_PLUGIN: Final = "that was a plugin of Caddy v1"
_INSTEAD: Final = {
    "realip": "write `trusted_proxies NETWORK...`",
    "forwardproxy": "Posthouse is no proxy for browsers; `proxy` sends requests to backends",
    "cors": "`header` sets fields such as Access-Control-Allow-Origin",
    "expires": "`header` sets Cache-Control",
    "nobots": "`rewrite` and `redir` have conditions that can look at User-Agent",
    "cgi": "put a web server that runs it behind `proxy`",
    "filebrowser": "`browse` lists a folder; to change files, put the program behind `proxy`",
    "s3browser": "`browse` lists a folder of this machine",
    "jwt": "`basicauth` asks for a password; anything else the application behind `proxy` must check",
    "login": "`basicauth` asks for a password; anything else the application behind `proxy` must check",
    "reauth": "`basicauth` asks for a password; anything else the application behind `proxy` must check",
    "authz": "`basicauth` asks for a password; anything else the application behind `proxy` must check",
    "prometheus": "here it is `metrics [PATH]`",
    "supervisor": "`on` and `startup` run commands; a service manager keeps them running",
    "minify": "`gzip` makes responses smaller",
}
"""Plugins of v1 for which there is something else."""
_PLUGINS: Final = (
    *("awses", "awslambda", "cache", "datadog", "dyndns", "extauth", "filter", "git", "gopkg", "grpc"),
    *("hugo", "ipfilter", "jekyll", "jsonp", "locale", "mailout", "multipass", "permission", "pubsub"),
    *("ratelimit", "geoip", "recaptcha", "restic", "search", "torproxy", "upload", "webdav", "wkd"),
)


def _plugin(name: str) -> str:
    instead = _INSTEAD.get(name)
    return f"{_PLUGIN}: {instead}" if instead else f"{_PLUGIN}, and Posthouse has nothing like it"


_ONLY_CADDY_2: Final = (
    *("abort", "acme_server", "forward_auth", "fs", "intercept", "invoke", "log_append", "log_skip", "map"),
    *("method", "skip_log", "tracing", "vars"),
)

FOREIGN: Final[dict[str, str]] = {
    **dict.fromkeys(_ONLY_CADDY_2, "that is Caddy 2's, and Posthouse has nothing like it"),
    **_ELSEWHERE,
    **{name: _plugin(name) for name in (*_INSTEAD, *_PLUGINS)},
}
"""Names that people bring from elsewhere -> the hint."""

BESIDE_PROXY: Final = {
    name: f"`{name}` is a directive of the site: write it beside `proxy`, not in its block"
    for name in (
        *("basicauth", "errors", "ext", "gzip", "internal", "limits", "log", "mime", "redir", "request_id"),
        *("rewrite", "root", "status", "timeouts", "trusted_proxies"),
    )
}
"""Directives that people write as properties of `proxy` -> the hint."""
