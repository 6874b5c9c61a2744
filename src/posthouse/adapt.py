"""A Caddyfile -> the frozen configuration: parser, directive table and checks, nothing else.

Reads files (the Caddyfile and what it imports) and, unless it is handed one, the environment.
"""

from __future__ import annotations

import gc
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from posthouse.caddyfile.dispenser import Dispenser
from posthouse.caddyfile.messages import did_you_mean, habit_hint, quote
from posthouse.caddyfile.parser import Block, Segment, parse_leniently
from posthouse.config.addresses import DEFAULT_PORT, NO_DEFAULTS, Defaults, parse_address
from posthouse.config.check import check, https_notices, with_root, with_unique_pool_names
from posthouse.config.specs import Config, PolicySpec, SiteSpec
from posthouse.directives import DIRECTIVES, FOREIGN, Never
from posthouse.directives.arguments import Rejected
from posthouse.directives.draft import SiteDraft
from posthouse.errors import ConfigError, Mistake, Notice, Place, StartError
from posthouse.reuse import CannotReuse, Reuse

STDIN = "-"
"""The path that means standard input."""
COMMAND_LINE = "command line"
"""The name, in places, of a site that the command line alone asks for."""
LINES = "arguments"
"""The name of the file that lines on the command line stand for: `arguments:2:7` is the second one."""
CASE_SENSITIVE = "CASE_SENSITIVE_PATH"
"""v1's environment variable: `1` or `true` makes the matching of paths case-sensitive."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """A configuration, and the texts it came from by file name, for rendering notices and build errors."""

    config: Config
    sources: dict[str, str]
    words: tuple[int, ...] = ()
    """How many each site was read from, with everything imported."""


class AdaptError(ConfigError):
    """Every mistake found, in the order of the files; `sources` as in Adapted.

    policies  the policies that the file names: building would judge them, but will not come to it
    """

    def __init__(
        self, mistakes: Iterable[Mistake], sources: dict[str, str], policies: Sequence[PolicySpec] = ()
    ) -> None:
        rank = {file: number for number, file in enumerate(sources)}
        unique = dict.fromkeys(mistakes)
        super().__init__(sorted(unique, key=lambda one: (rank.get(one.place.file, -1), one.place)))
        self.sources = sources
        self.policies = tuple(policies)


def adapt_file(
    path: str,
    *,
    env: Mapping[str, str] | None = None,
    defaults: Defaults = NO_DEFAULTS,
    before: Adapted | None = None,
) -> Adapted:
    """Adapt the file at `path`, all files that a pattern with `*` or `?` means (as with v1's -conf), or stdin.

    before  see `adapt`
    Raises AdaptError; StartError if it cannot be read.
    """
    try:
        if path == STDIN:
            return adapt(sys.stdin.buffer.read().decode("utf-8"), "stdin", env=env, defaults=defaults)
        if ("*" in path or "?" in path) and not os.path.lexists(path):
            text = f"import {_quoted(path)}\n"
            return adapt(text, COMMAND_LINE, env=env, defaults=defaults, before=before)
        text = _read_text(path)
    except OSError as error:
        raise StartError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartError(f"cannot read {path}: it is not UTF-8 text") from None
    return adapt(text, path, env=env, defaults=defaults, before=before)


def adapt_lines(
    lines: Sequence[str], *, env: Mapping[str, str] | None = None, defaults: Defaults = NO_DEFAULTS
) -> Adapted:
    """Adapt lines of a Caddyfile that make one site on the default host and port. Raises AdaptError.

    Line N of the file `arguments` is the N-th of them, for who is shown a mistake.
    """
    address = f"{defaults.host}:{defaults.port}\n"
    with _few_collections():
        adaptation = _Adaptation(COMMAND_LINE, os.environ if env is None else env, defaults)
        if not lines:
            return adaptation.run(address)
        adaptation.lines = "\n".join(lines)
        return adaptation.run(f"{address}import {LINES}\n")


def adapt(
    text: str,
    file: str,
    *,
    env: Mapping[str, str] | None = None,
    defaults: Defaults = NO_DEFAULTS,
    before: Adapted | None = None,
) -> Adapted:
    """Adapt a Caddyfile's text. Raises AdaptError.

    file      its name in places; imports are relative to its folder
    env       for `{$NAME}` placeholders; None: the process's environment
    defaults  what the command line says where the file says nothing
    before    what came of an earlier version, with the same defaults: where a site's block is the same, its spec is
              the same object, or equal to it if it has moved. The answer is the same, and comes sooner
    """
    values = os.environ if env is None else env
    with _few_collections():
        if before is not None:
            try:
                return _Adaptation(file, values, defaults, Reuse(before)).run(text)
            except (AdaptError, CannotReuse):
                pass  # all of it is read, so that mistakes are told as ever
        return _Adaptation(file, values, defaults).run(text)


def is_directive(name: str) -> bool:
    """Whether a Caddyfile's directive has that name, also one that we don't have."""
    return name in DIRECTIVES


class _Adaptation:
    """One run: what was read, and what was found wrong on the way."""

    def __init__(
        self, file: str, env: Mapping[str, str], defaults: Defaults, reuse: Reuse | None = None
    ) -> None:
        self.reuse = reuse
        self.file = file
        self.env = env
        self.defaults = defaults
        self.lines = ""
        self.policies: list[PolicySpec] = []
        self.words: list[int] = []
        self.sources: dict[str, str] = {}
        self.mistakes: list[Mistake] = []
        self.notices: list[Notice] = []

    def run(self, text: str) -> Adapted:
        self.sources[self.file] = text
        reduced = text if self.reuse is None else self.reuse.reduce(self.file, text)
        parsed = parse_leniently(reduced, self.file, env=self.env, read=self._read)
        self.mistakes += parsed.mistakes
        self.notices += parsed.notices
        sites = with_unique_pool_names([self._site(block) for block in parsed.blocks])
        sites = tuple(_hiding(site, tuple(self.sources)) for site in sites)
        verdict = check(Config(sites), is_case_sensitive=self.env.get(CASE_SENSITIVE) in ("1", "true"))
        self.mistakes += verdict.mistakes
        rank = {file: number for number, file in enumerate(self.sources)}

        def order(one: Notice) -> tuple[int, Place]:
            return rank.get(one.place.file, -1), one.place

        if not sites and not self.mistakes:
            # A reload that meets a file just being written must not close every listener.
            what = "no site in this file: expected an address such as `:8080` or `example.com`"
            self.mistakes.append(Mistake(Place(self.file, 1, 1), what))
        if self.mistakes:
            raise AdaptError(self.mistakes, self.sources, self.policies)
        if self.reuse is not None:
            self.reuse.finish(self.sources, parsed.words)
        notices = sorted(dict.fromkeys([*self.notices, *verdict.notices]), key=order)
        return Adapted(Config(sites, tuple(notices)), self.sources, tuple(self.words))

    def _read(self, pattern: str) -> list[tuple[str, str]]:
        if self.lines and pattern == LINES:
            files = [(LINES, self.lines)]
        else:
            files = [(name, _read_text(name)) for name in _matches(pattern)]
        self.sources.update(files)
        if self.reuse is not None:
            return [(name, self.reuse.reduce(name, text)) for name, text in files]
        return files

    def _site(self, block: Block) -> SiteSpec:
        if self.reuse is not None and (known := self.reuse.take(block)) is not None:
            site, notices, words = known
            self.notices += notices
            self.words.append(words)
            return site
        self.words.append(block.words)
        draft = SiteDraft(block.addresses[0].text, block.addresses[0].place)
        for token in block.addresses:
            if not token.text:
                continue  # the parser has noted it
            if token.text in DIRECTIVES and token is block.addresses[0]:
                what = f"`{token.text}` is a directive: expected the address of a site before it"
                hint = f"such as `:8080`; a host of that name is written `http://{token.text}`"
                self.mistakes.append(Mistake(token.place, what, token.width, hint))
                break
            try:
                draft.addresses.append(parse_address(token.text, token.place, token.width, self.defaults))
            except ConfigError as error:
                self.mistakes += error.mistakes
        by_name: dict[str, list[Segment]] = {}
        for segment in block.directives:
            by_name.setdefault(segment.name.text, []).append(segment)
        for name in by_name.keys() - DIRECTIVES.keys():
            self.mistakes += [_unknown(segment, block.is_braced) for segment in by_name[name]]
        for name in DIRECTIVES:
            for segment in by_name.get(name, ()):
                self._directive(segment, draft)
        site = with_root(draft.finish(), self.defaults.root)
        self.notices += draft.notices
        self.policies += draft.policies
        # As in v1, -port says that plain HTTP is meant.
        if not draft.is_tls_off and self.defaults.port == DEFAULT_PORT:
            self.notices += https_notices(site)
        return site

    def _directive(self, segment: Segment, draft: SiteDraft) -> None:
        reader = DIRECTIVES[segment.name.text]
        dispenser = Dispenser(segment)
        name = quote(segment.name)
        if isinstance(reader, Never):
            dispenser.fail(segment.name, f"{name} is not part of Posthouse: {reader.why}", reader.instead)
        else:
            try:
                reader(dispenser, draft)
            except Rejected as rejected:
                rejected.tell(dispenser)
        self.mistakes += dispenser.mistakes


def _hiding(site: SiteSpec, names: tuple[str, ...]) -> SiteSpec:
    """The site, which serves none of the files that the configuration was read from."""
    if site.files is None or site.files.hidden == names:
        return site
    return replace(site, files=replace(site.files, hidden=names))


def _unknown(segment: Segment, is_braced: bool) -> Mistake:
    name = segment.name
    hint = habit_hint(name) or did_you_mean(name.text, DIRECTIVES)
    if name.text in FOREIGN:
        hint = FOREIGN[name.text]
    elif not hint and not is_braced and any(mark in name.text for mark in ".:/"):
        hint = "if it is the address of another site, each site needs braces: `ADDRESS { ... }`"
    return Mistake(name.place, f"unknown directive {quote(name)}", name.width, hint)


def _quoted(path: str) -> str:
    """A path as one word that is never syntax; the first of the two marks that is not in it."""
    return f"`{path}`" if "`" not in path else f'"{path}"'


def _matches(pattern: str) -> list[str]:
    """The names that an import means. Files whose names begin with a dot match no wildcard."""
    if "*" not in pattern and "?" not in pattern:
        return [pattern] if os.path.lexists(pattern) else []
    return [name for name in glob.glob(pattern.replace("[", "[[]")) if not os.path.isdir(name)]


def _read_text(name: str) -> str:
    """Raises OSError, UnicodeDecodeError."""
    with open(name, "rb") as file:
        return file.read().decode("utf-8")


@contextmanager
def _few_collections() -> Iterator[None]:
    """Without the garbage collector: a large configuration is many objects, and none of them in a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
