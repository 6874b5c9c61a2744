"""`--user`: who is meant, and who may say so."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from posthouse.errors import StartError
from posthouse.server.rights import identity_of

NOBODY = pwd.getpwnam("nobody")
OTHER = next(group for group in grp.getgrall() if group.gr_gid != NOBODY.pw_gid)


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_a_user_has_its_groups(user: str) -> None:
    identity = identity_of(user)
    assert (identity.uid, identity.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert set(identity.groups) == set(os.getgrouplist("nobody", NOBODY.pw_gid))


@pytest.mark.parametrize("group", [OTHER.gr_name, str(OTHER.gr_gid)])
def test_a_group_takes_the_place_of_its_own(group: str) -> None:
    identity = identity_of(f"nobody:{group}")
    assert identity.gid == OTHER.gr_gid
    assert OTHER.gr_gid in identity.groups


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nosuchuser", "there is no user 'nosuchuser'"),
        ("987654321", "there is no user '987654321'"),
        ("nobody:nosuchgroup", "there is no group 'nosuchgroup'"),
        ("nobody:987654321", "there is no group '987654321'"),
        (f"{10**30}", "there is no user"),
    ],
)
def test_who_is_not_there(text: str, said: str) -> None:
    with pytest.raises(StartError, match=said):
        identity_of(text)


def test_only_root_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StartError, match="--user nobody: only root can have workers run as somebody else"):
        identity_of("nobody")
