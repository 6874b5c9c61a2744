"""Rights: whom workers run as (`--user USER[:GROUP]`). The supervisor keeps its own, to bind and to read keys."""

from __future__ import annotations

import grp
import os
import pwd

from posthouse.errors import StartError
from posthouse.server.child import Identity


def identity_of(text: str) -> Identity:
    """Who USER[:GROUP] is, by name or number, with the user's further groups. Raises StartError."""
    if os.geteuid() != 0:
        raise StartError(f"--user {text}: only root can have workers run as somebody else")
    name, colon, group_name = text.partition(":")
    try:
        user = pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise StartError(f"--user {text}: there is no user {name!r}") from None
    gid = user.pw_gid
    if colon:
        try:
            is_number = group_name.isascii() and group_name.isdigit()
            found = grp.getgrgid(int(group_name)) if is_number else grp.getgrnam(group_name)
        except (KeyError, OverflowError):
            raise StartError(f"--user {text}: there is no group {group_name!r}") from None
        gid = found.gr_gid
    return Identity(user.pw_uid, gid, tuple(os.getgrouplist(user.pw_name, gid)))
