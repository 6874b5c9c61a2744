"""Where the admin socket is, for who serves and for who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.admin.socket_file import default_path
from posthouse.commands import admin_place
from posthouse.commands.command_line import Given, UsageError
from posthouse.errors import StartError


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":9100", ("127.0.0.1", 9100)),
        ("127.0.0.2:65535", ("127.0.0.2", 65535)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:9100", ("::1", 9100)),
    ],
)
def test_where_metrics_are_asked(text: str, expected: tuple[str, int]) -> None:
    assert admin_place.listen_of(Given({"--admin-listen": [text]}, [])) == expected


def test_nowhere_by_itself() -> None:
    assert admin_place.listen_of(Given({}, [])) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9100",
        ":",
        ":x",
        ":-1",
        ":0",
        ":" + "9" * 5000,
        ":65536",
        ":٣",
        "localhost:1",
        "::1:9100",
        "[127.0.0.1]:1",
        "[::1]",
        "1:2:3",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match=r"--admin-listen is .*, expected an IP address and a port"):
        admin_place.listen_of(Given({"--admin-listen": [text]}, []))


def test_whom_it_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert admin_place.asked(Given({"--config": ["/etc/Caddyfile"]}, [])) == admin_place.default(
        "/etc/Caddyfile"
    )
    with pytest.raises(StartError, match="there is no Caddyfile in the working directory"):
        admin_place.asked(Given({}, []))
    Path("Caddyfile").write_text("")
    assert admin_place.asked(Given({}, [])) == admin_place.default(str(tmp_path / "Caddyfile"))
    with pytest.raises(UsageError, match="who serves stdin has no name"):
        admin_place.asked(Given({"--config": ["-"]}, []))
    with pytest.raises(UsageError, match="off"):
        admin_place.asked(Given({"--admin": ["off"]}, []))
