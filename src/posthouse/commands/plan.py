"""`posthouse plan`: what a reload with another Caddyfile would change. Nothing is touched."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from posthouse.commands import configuration
from posthouse.commands.command_line import Command, Given, Option, UsageError
from posthouse.commands.report import complain_of_mistakes, show_notices
from posthouse.errors import ConfigError

if TYPE_CHECKING:
    from posthouse.config.changes import Change, Changes
    from posthouse.config.specs import Config

_SIGNS = {"added": "+", "removed": "-", "altered": "~"}
LONGEST_VALUE = 60
"""Characters of a value in the text form."""


def _act(given: Given) -> int:
    from posthouse.config.changes import compare
    from posthouse.server.process import dry_build

    if not given.words:
        raise UsageError("plan needs the name of the new Caddyfile")
    running = _running(given)
    new = configuration.load(_of_file(given, given.words[0]))
    try:
        dry_build(new.config)
    except ConfigError as error:
        complain_of_mistakes(error, new.sources)
        return 1
    show_notices(new.config.notices, new.sources)
    changes = compare(running, new.config)
    sys.stdout.write(as_json(changes) if given.has("--json") else as_text(changes))
    sys.stdout.flush()
    return 0


def _running(given: Given) -> Config:
    """What a reload would replace: the file of --config, else ./Caddyfile. Raises as `configuration.load`."""
    return configuration.load(_of_file(given, given.last("--config"))).config


def _of_file(given: Given, path: str) -> Given:
    options = {name: values for name, values in given.options.items() if name != "--config"}
    return Given({**options, "--config": [path]} if path else options, [])


def as_json(changes: Changes) -> str:
    """For programs; the keys are a contract (docs/reload.md)."""
    from posthouse.config.changes import HOWS, KINDS

    report: dict[str, Any] = {
        f"{kind}s": {how: [_plain(one) for one in changes.of(kind, how)] for how in HOWS} for kind in KINDS
    }
    report["listeners"] = {"opened": list(changes.opened), "closed": list(changes.closed)}
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def _plain(change: Change) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": change.name}
    if change.kind == "backend":
        plain["pool"] = change.within
    if change.how == "altered":
        plain["fields"] = [
            {"field": one.field, "before": one.before, "after": one.after, "secret": one.is_secret}
            for one in change.differences
        ]
    return plain


def as_text(changes: Changes) -> str:
    """For people: the sums, each change in a line, and what would be cut."""
    return "\n".join(_lines(changes)) + "\n"


def _lines(changes: Changes) -> Iterator[str]:
    from posthouse.config.changes import HOWS, KINDS

    if changes.is_nothing:
        yield "nothing changes"
        return
    for kind in KINDS:
        counts = ", ".join(f"{len(changes.of(kind, how))} {how}" for how in HOWS)
        yield f"{kind + 's':<9} {counts}"
    yield ""
    for change in changes.changes:
        where = f" of {change.within}" if change.within else ""
        yield f"{_SIGNS[change.how]} {change.kind} {change.name}{where}"
        for one in change.differences:
            values = "(secret)" if one.is_secret else f"{_shown(one.before)} → {_shown(one.after)}"
            yield f"    {one.field}: {values}"
    yield from (f"+ listener {one}" for one in changes.opened)
    yield from (f"- listener {one}" for one in changes.closed)
    if changes.changes:
        yield ""
    if changes.closed:
        yield f"cut: {', '.join(changes.closed)} would close: no new connections there; what runs is finished"
    else:
        yield "nothing is cut"


def _shown(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, dict) and "text" in one for one in value):
        value = [one["text"] for one in value]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


COMMAND = Command(
    "plan",
    "print what a reload with another Caddyfile would change",
    _act,
    options=(*configuration.OPTIONS, Option("--json", "", "for programs")),
    usage="NEWFILE",
    most=1,
    epilogue="--config names the Caddyfile that is running.\n"
    "Exit codes: 0, also if nothing changes; 1 for mistakes in a file.",
)
