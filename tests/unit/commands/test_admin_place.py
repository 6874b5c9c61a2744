"""Where the admin socket is, for who serves and for who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.admin.socket_file import default_path
from posthouse.commands import admin_place
from posthouse.commands.command_line import Given


def test_by_the_name_of_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/x")
    place = admin_place.of(Given({}, []), "Caddyfile")
    assert place is not None
    assert place.path == default_path(str(tmp_path / "Caddyfile"), "/x") == admin_place.default("Caddyfile")
    assert (place.config, place.is_wanted) == (str(tmp_path / "Caddyfile"), False)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert admin_place.default("/a").startswith("/run/posthouse/")


def test_as_the_command_line_says() -> None:
    place = admin_place.of(Given({"--admin": ["/run/a.sock"]}, []), "")
    assert place is not None
    assert (place.path, place.config, place.is_wanted) == ("/run/a.sock", None, True)


def test_none() -> None:
    assert admin_place.of(Given({"--admin": ["off"]}, []), "Caddyfile") is None
    assert admin_place.of(Given({}, []), "") is None, "nothing to find it by"
