"""What to say of a placeholder that nobody knows: it is used all the same, and stands for nothing, as in v1.

The names are those that `observe/placeholders.py` resolves; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final

from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import nearest, quote
from posthouse.errors import Notice

KNOWN: Final = frozenset(
    (
        *("hostname", "mitm", "fragment", "method", "proto", "scheme", "host", "hostonly", "server_port"),
        *("path", "path_escaped", "query", "query_escaped", "uri", "uri_escaped", "file", "dir"),
        *("rewrite_path", "rewrite_path_escaped", "rewrite_uri", "rewrite_uri_escaped"),
        *("remote", "port", "client_ip", "user", "request", "request_body", "request_id"),
        *("status", "size", "upstream", "attempts", "retries", "failure", "queue_ms"),
        *("latency", "latency_ms", "when", "when_iso", "when_iso_local", "when_unix", "when_unix_ms"),
        *("tls_protocol", "tls_cipher", "tls_client_escaped_cert", "tls_client_fingerprint"),
        *("tls_client_i_dn", "tls_client_raw_cert", "tls_client_s_dn", "tls_client_serial"),
        *("tls_client_v_end", "tls_client_v_remain", "tls_client_v_start"),
    )
)
LINES: Final = frozenset(("common", "combined"))
"""Known in a log format only: what those formats write."""

_PLACEHOLDER: Final = re.compile(r"(?<!\\)\{(.*?)(?<!\\)\}", re.DOTALL)
_IN_REPLACEMENT: Final = re.compile(r"(?<![\\$])\{(.*?)(?<!\\)\}", re.DOTALL)
"""`${1}` refers to a group."""
_OF_A_KIND: Final = re.compile(r"[<>~?].*|label[1-9][0-9]{0,2}", re.DOTALL)
_GROUP: Final = re.compile(r"[0-9]{1,3}")
_PLAIN: Final = re.compile(r"[\w.:-]*")
_ELSEWHERE: Final = {
    "remote_host": "{remote}",
    "remote_port": "{port}",
    "remote_addr": "{remote}",
    "request_uri": "{uri}",
    "request_method": "{method}",
    "http_user_agent": "{>User-Agent}",
    "http_referer": "{>Referer}",
}
"""Names of Caddy 2 and nginx -> ours."""
_FIELDS_ELSEWHERE: Final = {
    "header.": ">",
    "http.request.header.": ">",
    "http.response.header.": "<",
    "query.": "?",
    "http.request.uri.query.": "?",
    "cookie.": "~",
    "http.request.cookie.": "~",
}
"""Caddy 2's beginnings of names -> ours."""


def unknown_placeholders(
    tokens: Iterable[Token],
    also: Collection[str] = (),
    *,
    has_groups: bool = False,
    is_replacement: bool = False,
) -> list[Notice]:
    """One notice for each placeholder that stands for nothing.

    tokens          templates of the configuration
    also            further names that are known where they stand
    has_groups      `{1}` is a group of an expression there
    is_replacement  `${1}` is one
    """
    pattern = _IN_REPLACEMENT if is_replacement else _PLACEHOLDER
    return [notice for token in tokens for notice in _judge(token, pattern, also, has_groups)]


def _judge(
    token: Token, pattern: re.Pattern[str], also: Collection[str], has_groups: bool
) -> Iterator[Notice]:
    seen = 0
    for found in pattern.finditer(token.text):
        name = found[1]
        if name in KNOWN or name in also or _OF_A_KIND.fullmatch(name):
            continue
        if has_groups and _GROUP.fullmatch(name):
            continue
        at = token.raw.find(found[0], seen)
        if at < 0 or "\n" in token.raw[:at]:
            # It came from the environment, whose values are not shown, or stands on another line.
            yield Notice(
                token.place,
                f"{quote(token)} has an unknown placeholder, which stands for nothing",
                token.width,
            )
            return
        seen = at + 1
        place = replace(token.place, column=token.place.column + at)
        what = f"unknown placeholder {quote(found[0])}, which stands for nothing{_hint(name, also)}"
        yield Notice(place, what, len(found[0]))


def _hint(name: str, also: Collection[str]) -> str:
    if not name or _PLAIN.fullmatch(name) is None:
        return ": a brace that is meant as such is written `\\{` or `\\}`"
    meant = _ELSEWHERE.get(name.removeprefix("http.request."), "")
    for beginning, sign in _FIELDS_ELSEWHERE.items():
        if name.startswith(beginning) and name != beginning:
            meant = f"{{{sign}{name.removeprefix(beginning)}}}"
    if not meant:
        near = nearest(name.removeprefix("http.request."), sorted({*KNOWN, *also}))
        meant = f"{{{near}}}" if near else ""
    return f": did you mean {quote(meant)}?" if meant else ""
