"""The key that sticky sessions are signed with: from the file that `secret=` names, or one of our own, made once.

Our own is kept in the data directory, so that sessions outlive a restart and are the same for every process there.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from posthouse.config.specs import PolicySpec
from posthouse.errors import ConfigError, Mistake
from posthouse.server.key_files import KeyFiles

KEY_BYTES: Final = 32
"""As long as the hash that it keys."""
LONGEST_SECRET: Final = 64 * 1024
"""More is no secret but a slip of the pen: /dev/zero has no end."""
FILE: Final = "sticky.key"


def read_secret(file: str, policy: PolicySpec, files: KeyFiles | None = None) -> bytes:
    """What is in the file, without a line break at its end. Raises ConfigError at the policy's place."""
    try:
        with (files or KeyFiles()).open(file) as opened:
            key = opened.read(LONGEST_SECRET + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(_mistake(policy, f"cannot read the secret {file!r}: {reason}")) from None
    key = key.rstrip(b"\r\n")
    if not key:
        hint = "`head -c 32 /dev/urandom >FILE` makes one"
        raise ConfigError(_mistake(policy, f"the secret {file!r} is empty", hint))
    if len(key) > LONGEST_SECRET:
        raise ConfigError(_mistake(policy, f"the secret {file!r} has more than {LONGEST_SECRET} bytes"))
    return key


def _mistake(policy: PolicySpec, message: str, hint: str = "") -> Mistake:
    return Mistake(policy.place, f"`policy {policy.name}`: {message}", len(policy.name), hint)


def path_of_own(environ: Mapping[str, str], *, is_root: bool) -> Path:
    """Where our own key is: $XDG_DATA_HOME/posthouse; without that /var/lib/posthouse for root, else
    ~/.local/share/posthouse (XDG Base Directory Specification)."""
    data = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data):  # the specification: a relative one is to be ignored
        return Path(data, "posthouse", FILE)
    if is_root:
        return Path("/var/lib/posthouse", FILE)
    return Path(environ.get("HOME") or "/", ".local/share/posthouse", FILE)


def own_key(path: Path) -> bytes:
    """The key in that file, which is made (0600, in a folder of 0700) if it is not there. Raises OSError.

    Of several processes that make it at once one wins, and all have its key: the finished file gets its name with
    `link`, which fails where there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _make(path)
    key = path.read_bytes()
    if len(key) < KEY_BYTES:
        raise OSError(f"it has {len(key)} bytes, a key has {KEY_BYTES}")
    return key


def _make(path: Path) -> None:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(unfinished, path)
        except FileExistsError:
            pass  # another process was quicker: its key it is
    finally:
        unfinished.unlink()
