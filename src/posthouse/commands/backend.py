"""`posthouse backend`: orders about one backend of a Posthouse that runs, without a reload."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from posthouse.commands import admin_place
from posthouse.commands.command_line import Command, Given, Option, UsageError, suggestion
from posthouse.commands.report import complain
from posthouse.config.address_specs import HEAVIEST

ACTS: Final[Mapping[str, str]] = {
    "drain": "it gets no new requests but of sticky sessions that it has; what runs is finished",
    "undrain": "takes that back",
    "disable": "it gets nothing new at all; what runs is finished",
    "enable": "takes that back",
    "weight": "it weighs N (1 to 1000) from now on, or with `default` what the Caddyfile says",
}
_WORDS: Final = 3


def _act(given: Given) -> int:
    wish = _wish(given.words)
    path = admin_place.asked(given)
    from posthouse.admin.client import ask

    status, report = ask(path, "POST", f"/backend?{urlencode(wish)}")
    if given.has("--json"):
        print(json.dumps(report, indent=2))
    elif status == 200:
        print("\n".join(describe(report)))
    sys.stdout.flush()
    if status == 200:
        return 0
    hint = f" (did you mean {report['hint']}?)" if report.get("hint") else ""
    complain(f"{report.get('error', f'the admin socket answers {status}')}{hint}")
    for name in report.get("candidates", ()):
        print(f"  {name}", file=sys.stderr)
    return 1


def _wish(words: list[str]) -> dict[str, str]:
    """What the words ask for. Raises UsageError."""
    if not words or words[0] not in ACTS:
        wrong = f"there is no order {words[0]!r}{suggestion(words[0], ACTS)}" if words else "which order?"
        raise UsageError(f"{wrong}: {', '.join(ACTS)}")
    act, names, rest = words[0], words[1:_WORDS], words[_WORDS:]
    if len(names) < _WORDS - 1:
        raise UsageError(f"`backend {act}` needs a pool and a backend: names of `posthouse status`")
    wish = {"order": act, "pool": names[0], "backend": names[1]}
    if act != "weight":
        if rest:
            raise UsageError(f"too many words for `backend {act}`: {rest[0]!r}")
        return wish
    if len(rest) != 1 or not _is_weight(rest[0]):
        found = f", found {rest[0]!r}" if rest else ""
        raise UsageError(f"expected a weight from 1 to {HEAVIEST}, or default{found}")
    return {**wish, "weight": rest[0]}


def _is_weight(word: str) -> bool:
    if word == "default":
        return True
    return (
        word.isascii() and word.isdigit() and len(word) <= len(str(HEAVIEST)) and 1 <= int(word) <= HEAVIEST
    )


def describe(report: dict[str, Any]) -> list[str]:
    """What was ordered, as lines for a person."""
    is_now = {"drain": "draining by order", "disable": "disabled by order", None: "not kept back by order"}
    weight = report["weight"]
    weighs = f", weight {weight} by order" if weight is not None else ""
    rest = "" if report["changed"] else " (as before)"
    lines = [f"{report['backend']} of {report['pool']}: {is_now[report['order']]}{weighs}{rest}"]
    if report["unconfirmed"]:
        count = report["unconfirmed"]
        which = "1 worker has" if count == 1 else f"{count} workers have"
        lines.append(f"{which} not confirmed it yet: obeyed as soon as they answer again")
    return lines


COMMAND = Command(
    "backend",
    "drain or disable a backend of a Posthouse that runs, or change its weight",
    _act,
    options=(
        *admin_place.ASK_OPTIONS,
        Option("--json", "", "print the answer as JSON"),
    ),
    usage="ORDER POOL BACKEND [N]",
    most=_WORDS + 1,
    epilogue="orders\n"
    + "\n".join(f"  {name:<8}  {what}" for name, what in ACTS.items())
    + """

POOL and BACKEND are names of `posthouse status`; the site alone, and the address without
its scheme, will do where they mean one. Orders last until they are taken back, over reloads,
but not over a restart.""",
)
