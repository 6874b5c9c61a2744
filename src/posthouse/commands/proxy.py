"""`posthouse proxy`: one `proxy` rule from the command line, without a file."""

from __future__ import annotations

import re

from posthouse.commands import configuration, serving
from posthouse.commands.command_line import Command, Given, Option, UsageError

DEFAULT_FROM = ":2015"
"""v1's default port, as for a Caddyfile that names none."""

SOURCE_NAME = "command line"
"""The file name in messages about the Caddyfile that the options stand for."""


_PLAIN = re.compile(r"[A-Za-z0-9-]*[.:/\[][A-Za-z0-9.:/@\[\]-]*")
"""An address that means the same without quotes: it has a mark that no keyword has."""


def caddyfile(site: str, backends: list[str], policy: str = "") -> str:
    """The Caddyfile that the options mean. `policy` may have an argument: "header X-User".

    Raises UsageError for a value that no Caddyfile can hold.
    """
    lines = [f"{word(site)} {{", f"\tproxy / {' '.join(map(word, backends))} {{"]
    if policy:
        lines.append(f"\t\tpolicy {' '.join(map(word, policy.split()))}")
    return "\n".join([*lines, "\t}", "}", ""])


def word(text: str) -> str:
    """One word of a Caddyfile, never syntax, quoted where needed. Raises UsageError.

    Environment placeholders in it are expanded, as in a file.
    """
    if not text or not text.isprintable():
        raise UsageError(f"{text!r} is not an address or a name")
    if _PLAIN.fullmatch(text):
        return text
    if "`" not in text:
        return f"`{text}`"
    if '"' in text or "\\" in text:
        raise UsageError(f"{text!r} is not an address or a name")
    return f'"{text}"'


def _act(given: Given) -> int:
    serving.check(given)
    backends = given.all("--to")
    if not backends:
        raise UsageError("proxy needs at least one backend: --to localhost:9000")
    text = caddyfile(given.last("--from", DEFAULT_FROM), backends, given.last("--policy"))

    with serving.enlist(given) as recruits:
        from posthouse.adapt import adapt

        loaded = configuration.with_all_mistakes(lambda: adapt(text, SOURCE_NAME))
        return serving.serve(given, loaded, lambda: None, recruits=recruits)


COMMAND = Command(
    "proxy",
    "serve one address in front of backends, without a file",
    _act,
    options=(
        Option("--from", "ADDRESS", "the site's address (default: :2015)"),
        Option("--to", "BACKEND", "a backend, in any form that `proxy` takes; may be repeated"),
        Option("--policy", "NAME", "how a backend is chosen (default: random); with its argument in quotes"),
        *serving.OPTIONS,
    ),
)
