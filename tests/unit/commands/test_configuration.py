"""Where the configuration comes from, and the environment beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.adapt import AdaptError
from posthouse.commands import configuration
from posthouse.commands.command_line import Given
from posthouse.errors import StartError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _given(*words: str, **options: str) -> Given:
    return Given({f"--{name.replace('_', '-')}": [value] for name, value in options.items()}, list(words))


def test_which_file(here: Path) -> None:
    with pytest.raises(StartError, match="there is no Caddyfile in the working directory"):
        configuration.path_of(_given())
    (here / "Caddyfile").touch()
    assert configuration.path_of(_given()) == "Caddyfile"
    assert configuration.path_of(_given("a")) == "a"
    assert configuration.path_of(_given("a", config="b")) == "b"
    assert configuration.path_of(_given("-")) == "-"


def test_load_with_values_of_an_env_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP", "from the process")
    (here / "env").write_text("APP=localhost:9000\n")
    (here / "Caddyfile").write_text(":80 {\n proxy / {$APP}\n}\n")
    loaded = configuration.load(_given(env_file="env"))
    assert loaded.config.sites[0].routes[0].pool.endpoints[0].port == 9000
    (here / "env").write_text("APP=localhost:9001\n")
    again = configuration.load(_given(env_file="env"))
    assert again.config.sites[0].routes[0].pool.endpoints[0].port == 9001, "a reload reads it anew"


def test_load_tells_mistakes(here: Path) -> None:
    (here / "Caddyfile").write_text(":80 {\n prxy\n}\n")
    with pytest.raises(AdaptError):
        configuration.load(_given())


def test_the_environment_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOUSE_TEST", "1")
    assert configuration.environment("")["POSTHOUSE_TEST"] == "1"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("# a comment\n\n  A = 1 2 \n", {"A": "1 2"}),
        ('A="1"\n', {"A": '"1"'}),
        ("A=b=c\r\n", {"A": "b=c"}),
        ("A=\n", {"A": ""}),
        ("A=x # no comment\n", {"A": "x # no comment"}),
    ],
)
def test_env_file(text: str, values: dict[str, str]) -> None:
    assert configuration.parse_environment(text, "env") == values


@pytest.mark.parametrize(
    ("text", "place"), [("A\n", "env:1"), ("A=1\n=2\n", "env:2"), ("export A=1", "env:1")]
)
def test_env_file_refused(text: str, place: str) -> None:
    with pytest.raises(StartError, match=f"^{place}: expected KEY=VALUE$"):
        configuration.parse_environment(text, "env")


def test_env_file_that_cannot_be_read(here: Path) -> None:
    with pytest.raises(StartError, match=r"^cannot read nowhere: No such file or directory$"):
        configuration.environment("nowhere")
    (here / "binary").write_bytes(b"A=\xff\n")
    with pytest.raises(StartError, match=r"^cannot read binary: it is not UTF-8 text$"):
        configuration.environment("binary")
