"""The steps of a site: specs of directives that act before the route become objects, with what they need handed in.

BUILDERS is the table, and its order is the order of effect, as in v1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from posthouse.config.specs import SiteSpec
from posthouse.config.step_specs import BasicAuthSpec
from posthouse.errors import ConfigError, Mistake
from posthouse.files.extensions import Extensions
from posthouse.protocol.target import Targets
from posthouse.proxy.answer import Step
from posthouse.proxy.site import path_key
from posthouse.server.key_files import KeyFiles
from posthouse.server.site_files import folder_of, password_files
from posthouse.steps import basicauth, internal, passwords, redir, rewrite, status

HTPASSWD_BYTES: Final = 1 << 20
"""Of a password file: more than ten thousand users. It is read while nothing else is done."""


@dataclass(frozen=True, slots=True)
class Means:
    """What steps are built with.

    targets  how this worker compares paths
    checks   where slow passwords are checked
    key      random bytes of this process, for what steps remember
    clock    seconds of a clock that never jumps
    files    opens password files
    """

    targets: Targets
    checks: basicauth.Checks
    key: bytes
    clock: Callable[[], float]
    files: KeyFiles = field(default_factory=KeyFiles)


Builder = Callable[[SiteSpec, Means], Step | None]
"""The step of one directive, or None if the site does not have it. Raises ConfigError."""


def build_steps(spec: SiteSpec, means: Means) -> tuple[Step, ...]:
    """What acts before the route of a site, in order of effect. Raises ConfigError with all mistakes."""
    steps: list[Step] = []
    mistakes: list[Mistake] = []
    for builder in BUILDERS.values():
        try:
            step = builder(spec, means)
        except ConfigError as error:
            mistakes += error.mistakes
            continue
        if step is not None:
            steps.append(step)
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(steps)


def _rewrite(spec: SiteSpec, means: Means) -> Step | None:
    if not spec.rewrites:
        return None
    rules = [rewrite.Rule(one, path_key(one.base, means.targets)) for one in spec.rewrites]
    return rewrite.Rewrite(rules, exists_below(spec))


def _ext(spec: SiteSpec, means: Means) -> Step | None:
    # Without a root it looks into the working directory, as in v1.
    return Extensions(folder_of(spec), spec.ext) if spec.ext else None


def _basicauth(spec: SiteSpec, means: Means) -> Step | None:
    if not spec.auths:
        return None
    rules = []
    mistakes = []
    for one in spec.auths:
        try:
            password = find_password(one, spec.root, means.files)
        except ValueError as wrong:
            mistakes.append(Mistake(one.place, str(wrong), len("basicauth")))
            continue
        keys = [path_key(path, means.targets) for path in one.paths]
        rules.append(basicauth.Rule(keys, one.user, password, one.realm))
    if mistakes:
        raise ConfigError(mistakes)
    return basicauth.BasicAuth(rules, means.checks, basicauth.Remembered(means.key, means.clock))


def _redir(spec: SiteSpec, means: Means) -> Step | None:
    return redir.Redirects([redir.Rule(one) for one in spec.redirects]) if spec.redirects else None


def _status(spec: SiteSpec, means: Means) -> Step | None:
    if not spec.statuses:
        return None
    return status.Statuses([(path_key(one.path, means.targets), one.status) for one in spec.statuses])


def _internal(spec: SiteSpec, means: Means) -> Step | None:
    if not spec.internals:
        return None
    return internal.Internal([path_key(path, means.targets) for path in spec.internals])


BUILDERS: Final[dict[str, Builder]] = {
    "rewrite": _rewrite,
    "ext": _ext,
    "basicauth": _basicauth,
    "redir": _redir,
    "status": _status,
    "internal": _internal,
}


def exists_below(spec: SiteSpec) -> Callable[[str], bool]:
    """Whether a decoded path is a file below the site's root, or a folder if it ends with "/"; no root: nothing is."""
    return folder_of(spec).exists if spec.root else lambda path: False


def find_password(spec: BasicAuthSpec, root: str, files: KeyFiles) -> passwords.Password:
    """The password of a `basicauth`, from the Caddyfile or from its file. Raises ValueError, which never shows one."""
    if not spec.file:
        try:
            return passwords.written(spec.password)
        except ValueError as wrong:
            raise ValueError(f"the password of `basicauth` cannot be used: {wrong}") from None
    names = password_files(spec.file, root)
    path, content = _first_of(names, files)
    if len(content) > HTPASSWD_BYTES:
        raise ValueError(f"the password file `{path}` is larger than {HTPASSWD_BYTES >> 20}MB")
    text = content.decode("utf-8", "surrogateescape")
    try:
        found = passwords.htpasswd(text).get(spec.user)
        if found is None:
            raise ValueError("it has no such user")
        return passwords.stored(found)
    except ValueError as wrong:
        raise ValueError(f"the password file `{path}` cannot be used: {wrong}") from None


def _first_of(names: Sequence[str], files: KeyFiles) -> tuple[str, bytes]:
    """The first of these files that is there, and what is in it. Raises ValueError."""
    for path in names:
        try:
            with files.open(path) as file:
                return path, file.read(HTPASSWD_BYTES + 1)
        except FileNotFoundError:
            if path != names[-1]:
                continue
            reason = "No such file or directory"
        except OSError as error:
            reason = error.strerror or str(error)
        raise ValueError(f"the password file `{path}` cannot be read: {reason}")
    raise AssertionError("there is always a name")
