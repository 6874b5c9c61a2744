"""Words of a command line -> the options and words that a command takes.

Small on purpose: importing argparse alone costs a twentieth of the time in which Posthouse is to be ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field


class UsageError(Exception):
    """A wrong command line: exit code 2. The text is one line."""


@dataclass(frozen=True, slots=True)
class Option:
    """`name` with its two dashes; `value` is shown for what follows it ("FILE"), "" for a switch."""

    name: str
    value: str
    help: str


@dataclass(frozen=True, slots=True)
class Given:
    """What a command line says: values by option name (a switch has [""]), and the words beside them.

    options  those of Caddy v1 that we have no name for stand there with one dash: "-port"
    lines    lines of a Caddyfile, in place of a file
    """

    options: dict[str, list[str]]
    words: list[str]
    lines: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        return name in self.options

    def last(self, name: str, default: str = "") -> str:
        values = self.options.get(name)
        return values[-1] if values else default

    def all(self, name: str) -> list[str]:
        return self.options.get(name, [])


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, what it does in a line, its words and options, and the doing.

    usage     the words as shown after the name and options ("[FILE]")
    most      words it takes at most
    act       does it; the exit code
    epilogue  further lines of its help
    """

    name: str
    summary: str
    act: Callable[[Given], int]
    options: tuple[Option, ...] = ()
    usage: str = ""
    most: int = 0
    epilogue: str = ""

    def run(self, arguments: Sequence[str]) -> int:
        """Read the arguments and act. Raises UsageError, and whatever acting raises."""
        if "--help" in arguments or "-h" in arguments:
            print(self.help())
            return 0
        return self.act(read(arguments, self))

    def help(self) -> str:
        """The text of `posthouse help NAME`."""
        shown = " [options]" if self.options else ""
        lines = [f"posthouse {self.name}{shown} {self.usage}".rstrip(), f"  {self.summary}"]
        if self.options:
            heads = [f"{option.name} {option.value}".rstrip() for option in self.options]
            width = max(map(len, heads))
            lines += ["", "options"]
            lines += [
                f"  {head:<{width}}  {option.help}" for head, option in zip(heads, self.options, strict=True)
            ]
        if self.epilogue:
            lines += ["", self.epilogue]
        return "\n".join(lines)


def read(arguments: Sequence[str], command: Command) -> Given:
    """The options (`--name VALUE`, `--name=VALUE`) and words of a command line; `--` ends the options.

    Raises UsageError.
    """
    known = {option.name: option for option in command.options}
    given = Given({}, [])
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            given.words.extend(rest)
        elif argument.startswith("-") and argument != "-":
            _take_option(argument, rest, known, given)
        else:
            given.words.append(argument)
    if len(given.words) > command.most:
        surplus = given.words[command.most]
        hint = (
            f" (a file is named with --config {surplus})" if "--config" in known and not command.most else ""
        )
        raise UsageError(f"too many words for `{command.name}`: {surplus!r}{hint}")
    return given


def _take_option(argument: str, rest: Iterator[str], known: dict[str, Option], given: Given) -> None:
    name, has_value, value = argument.partition("=")
    option = known.get(name)
    if option is None:
        raise UsageError(f"unknown option {name}{suggestion(name, known)}")
    if not option.value:
        if has_value:
            raise UsageError(f"{name} takes no value")
    elif not has_value:
        following = next(rest, None)
        if following is None:
            raise UsageError(f"{name} needs a value: {name} {option.value}")
        value = following
    given.options.setdefault(name, []).append(value)


def suggestion(word: str, known: Iterable[str]) -> str:
    """ " (did you mean --config?)", or "" when nothing known is near."""
    import difflib  # only for who has made a mistake

    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
