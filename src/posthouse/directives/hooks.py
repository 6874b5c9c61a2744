"""`on EVENT COMMAND [ARGS]`, and `startup`, `shutdown` for two of the events: commands that we run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.lexer import Token
from posthouse.caddyfile.messages import did_you_mean, quote
from posthouse.config.specs import HookEvent, HookSpec
from posthouse.directives.arguments import Rejected
from posthouse.directives.draft import SiteDraft
from posthouse.errors import Notice

EVENTS: dict[str, HookEvent] = {"startup": "startup", "shutdown": "shutdown", "certrenew": "certrenew"}
_BACKGROUND = "&"


def read_on(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.hooks`. Raises Rejected."""
    if dispenser.check_args(Arity(2, None)) and dispenser.refuse_block():
        event, *words = dispenser.args
        name = EVENTS.get(event.text.lower())
        if name is None:
            hint = did_you_mean(event.text, EVENTS) or f"the events are {', '.join(EVENTS)}"
            raise Rejected(event, f"{quote(event)} is not an event", hint)
        _add(name, dispenser, words, site)


def read_startup(dispenser: Dispenser, site: SiteDraft) -> None:
    """`on startup`. Raises Rejected."""
    if dispenser.check_args(Arity(1, None)) and dispenser.refuse_block():
        _add("startup", dispenser, dispenser.args, site)


def read_shutdown(dispenser: Dispenser, site: SiteDraft) -> None:
    """`on shutdown`. Raises Rejected."""
    if dispenser.check_args(Arity(1, None)) and dispenser.refuse_block():
        _add("shutdown", dispenser, dispenser.args, site)


def _add(event: HookEvent, dispenser: Dispenser, words: Sequence[Token], site: SiteDraft) -> None:
    command = _command(words)
    is_background = command[-1] == _BACKGROUND
    if is_background:
        command = command[:-1]
    if not command or not command[0]:
        raise Rejected(words[0], "the command is empty: expected a program")
    if event == "certrenew":
        what = "no certificates are renewed in this release: this command never runs"
        site.notices.append(Notice(dispenser.name.place, what, dispenser.name.width))
    site.hooks.append(HookSpec(event, tuple(command), is_background, words[0].place))


def _command(words: Sequence[Token]) -> list[str]:
    """Each argument is a word. A single one that holds blanks is a whole command line, as v1's users write it:
    v1 joined all arguments and cut them again, which broke those that had blanks of their own."""
    first = words[0]
    if len(words) > 1 and (len(words) > 2 or words[1].text != _BACKGROUND):
        return [word.text for word in words]
    try:
        return [*shlex.split(first.text), *(word.text for word in words[1:])] or [""]
    except ValueError:
        raise Rejected(first, f"a quote within {quote(first)} is never closed") from None
