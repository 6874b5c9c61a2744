"""`posthouse plan`: what would change, for people and for programs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from posthouse.adapt import AdaptError
from posthouse.commands.command_line import UsageError
from posthouse.commands.plan import COMMAND
from posthouse.errors import StartError

OLD = """http://a.test {
    proxy / 127.0.0.1:1 127.0.0.1:2
    basicauth / u first
}
http://b.test:81 {
    proxy / 127.0.0.1:1
}
"""
NEW = OLD.replace(" 127.0.0.1:2\n", " 127.0.0.1:3 {\n max_conns 4\n }\n").replace("first", "second")
NEW = NEW[: NEW.index("http://b")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Caddyfile").write_text(OLD)
    Path("new").write_text(NEW)


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run(["new"]) == 0
    assert capsys.readouterr().out == (
        "sites     0 added, 1 removed, 1 altered\n"
        "routes    0 added, 1 removed, 0 altered\n"
        "pools     0 added, 1 removed, 1 altered\n"
        "backends  1 added, 2 removed, 0 altered\n"
        "\n"
        "~ site http://a.test\n"
        "    auths: (secret)\n"
        "- site http://b.test:81\n"
        "- route http://b.test:81 /\n"
        "~ pool http://a.test /\n"
        "    max_conns: 0 → 4\n"
        "- pool http://b.test:81 /\n"
        "+ backend http://127.0.0.1:3 of http://a.test /\n"
        "- backend http://127.0.0.1:2 of http://a.test /\n"
        "- backend http://127.0.0.1:1 of http://b.test:81 /\n"
        "- listener :81\n"
        "\n"
        "cut: :81 would close: no new connections there; what runs is finished\n"
    )
    assert sorted(os.listdir()) == ["Caddyfile", "new"], "nothing is touched"


def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run(["--json", "new"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sites"] == {
        "added": [],
        "removed": [{"name": "http://b.test:81"}],
        "altered": [
            {
                "name": "http://a.test",
                "fields": [{"field": "auths", "before": None, "after": None, "secret": True}],
            }
        ],
    }
    assert report["backends"]["added"] == [{"name": "http://127.0.0.1:3", "pool": "http://a.test /"}]
    assert report["pools"]["altered"][0]["fields"] == [
        {"field": "max_conns", "before": 0, "after": 4, "secret": False}
    ]
    assert report["listeners"] == {"opened": [], "closed": [":81"]}


def test_nothing_changes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new").write_text("# moved\n" + OLD)
    assert COMMAND.run(["new"]) == 0
    assert capsys.readouterr().out == "nothing changes\n"


def test_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.run(["--config", "new", "Caddyfile"]) == 0
    shown = capsys.readouterr().out
    assert "+ listener :81\n\nnothing is cut\n" in shown


def test_long_values_are_cut_and_lists_are_shown_by_their_texts(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new").write_text(OLD.replace("http://a.test", "http://a.test, http://aa.test"))
    assert COMMAND.run(["new"]) == 0
    assert (
        '    addresses: ["http://a.test"] → ["http://a.test", "http://aa.test"]\n' in capsys.readouterr().out
    )
    Path("new").write_text(OLD.replace("basicauth", f"header / X-A {'a' * 99}\n basicauth"))
    assert COMMAND.run(["new"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "headers:" in line]
    assert line.endswith("…") and len(line) < 90


def test_mistakes_of_either_file_are_told() -> None:
    Path("new").write_text("http://a.test {\n prxy\n}\n")
    for words in (["new"], ["--config", "new", "Caddyfile"]):
        with pytest.raises(AdaptError, match="unknown directive"):
            COMMAND.run(words)


def test_mistakes_that_only_building_finds(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new").write_text("http://a.test {\n basicauth / u htpasswd=/none\n}\n")
    assert COMMAND.run(["new"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and "new:2:2: " in shown.err


def test_warnings_of_the_new_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new").write_text("http://a.test {\n}\n")
    assert COMMAND.run(["new"]) == 0
    assert "warning: new:1:1: " in capsys.readouterr().err


def test_a_new_file_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the new Caddyfile"):
        COMMAND.run([])
    os.unlink("Caddyfile")
    with pytest.raises(StartError, match="no Caddyfile"):
        COMMAND.run(["new"])
