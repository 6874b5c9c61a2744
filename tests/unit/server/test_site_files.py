from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.adapt import adapt
from posthouse.config.specs import SiteSpec
from posthouse.errors import ConfigError
from posthouse.files.file_server import FileServer
from posthouse.protocol.target import Targets
from posthouse.server.site_files import build_file_server
from unit.files.asking import ask
from unit.server.fakes import Remembering

TARGETS = Targets()


def site(text: str) -> SiteSpec:
    return adapt(f"http://:0/Blog {{\n{text}\n}}\n", "Caddyfile", env={}).config.sites[0]


def later(seconds: float, callback: object) -> None:
    """There is no loop: what is listed here is small."""


def built(text: str, log: Remembering) -> FileServer:
    made = build_file_server(site(text), TARGETS, log, later)
    assert made is not None
    return made


def test_only_for_sites_that_ask_for_it(log: Remembering) -> None:
    assert build_file_server(site("proxy / localhost:1"), TARGETS, log, later) is None


def test_all_parts_of_a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Remembering) -> None:
    (tmp_path / "www" / "Sub").mkdir(parents=True)
    for name in ("www/a.x", "www/.env", "www/start.html", "www/Caddyfile", "Caddyfile"):
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    made = built("root www { dotfiles }\nindex start.html\nbrowse /SUB\nmime .x image/x", log)
    assert [ask(made, target)[0].status for target in ("/a.x", "/.env", "/", "/Sub/")] == [200, 200, 200, 200]
    assert ask(made, "/a.x")[0].fields[0].value == b"image/x"
    assert ask(made, "/Caddyfile")[0].status == 200, "another file of that name"
    assert ask(made, "/blog/old", path="/Sub")[0].fields[0].value == b"/blog/Sub/"
    made = built("root .", log)
    assert ask(made, "/Caddyfile")[0].status == 404, "the configuration"
    assert log.lines() == []


def test_password_files_are_hidden(tmp_path: Path, log: Remembering) -> None:
    for name in ("users", "more", "other"):
        (tmp_path / name).write_text("Bob:hiccup\n")
    made = built(
        f"root {tmp_path}\nbrowse\nbasicauth /x Bob htpasswd=users\nbasicauth /x Bob htpasswd={tmp_path}/more",
        log,
    )
    assert [ask(made, target)[0].status for target in ("/users", "/more", "/other")] == [404, 404, 200]
    assert b"users" not in ask(made, "/")[1]


def test_a_root_that_is_not_there_yet(tmp_path: Path, log: Remembering) -> None:
    made = built(f"root {tmp_path}/www", log)
    assert [line["what"] for line in log.lines()] == ["root is not there"]
    assert ask(made, "/a.txt")[0].status == 404
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.txt").write_text("a")
    assert ask(made, "/a.txt")[1] == b"a"


def test_a_root_that_cannot_be_one(tmp_path: Path, log: Remembering) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, why in (
        ("file", "is no folder"),
        ("loop", "cannot be used: Too many levels"),
        ("file/x", "cannot be"),
    ):
        with pytest.raises(ConfigError) as caught:
            built(f"\nroot {tmp_path}/{name}", log)
        [mistake] = caught.value.mistakes
        assert f"the root `{tmp_path}/{name}` {why}" in mistake.message
        assert (mistake.place.line, mistake.place.column, mistake.width) == (3, 1, 4)
