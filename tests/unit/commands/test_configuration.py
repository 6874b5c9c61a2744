"""Where the configuration comes from, and the environment beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.adapt import AdaptError
from posthouse.commands import configuration
from posthouse.commands.command_line import Given, UsageError
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


def test_a_pattern_names_several_files(here: Path) -> None:
    for name in ("a", "b"):
        (here / f"{name}.conf").write_text(f"{name}.test:80 {{\n}}\n")
    loaded = configuration.load(_given(config=f"{here}/*.conf"))
    assert [site.addresses[0].host for site in loaded.config.sites] == ["a.test", "b.test"]
    (here / "*.conf").write_text("c.test:80 {\n}\n")
    loaded = configuration.load(_given(config="*.conf"))
    assert [site.addresses[0].host for site in loaded.config.sites] == ["c.test"], "a file of that very name"


def test_lines_are_a_site(here: Path) -> None:
    (here / "Caddyfile").write_text(":1\n")
    given = Given({"-port": ["8080"], "-host": ["::1"]}, [], ["proxy / localhost:9000", "log stdout"])
    (site,) = configuration.load(given).config.sites
    assert [(one.host, one.port) for one in site.addresses] == [("::1", 8080)]
    assert (len(site.routes), site.logs[0].output) == (1, "stdout")
    assert (configuration.name_of(given), configuration.can_change(given)) == ("the command line", False)


def test_a_root_alone_is_a_site(here: Path) -> None:
    given = Given({"-root": ["/srv"]}, [])
    (site,) = configuration.load(given).config.sites
    assert (site.addresses[0].port, site.root) == (2015, "/srv")
    (here / "Caddyfile").write_text(":1\n:2\n")
    assert not configuration.is_command_line(given), "there is a file, to which it is a default"
    (here / "Caddyfile").write_text(":1 {\n}\n:2 {\n}\n")
    assert [site.root for site in configuration.load(given).config.sites] == ["/srv", "/srv"]


def test_ports_are_defaults(here: Path) -> None:
    (here / "Caddyfile").write_text("a.test {\n}\nhttp://b.test {\n}\nc.test:http {\n}\nd.test:5 {\n}\n")
    given = Given({"-port": ["0"], "-http-port": ["65535"]}, [])
    loaded = configuration.load(given)
    assert [site.addresses[0].port for site in loaded.config.sites] == [0, 65535, 65535, 5]
    assert all("HTTPS" not in notice.message for notice in loaded.config.notices), "plain HTTP was asked for"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("-port", "65536", "-port is '65536', expected a port"),
        ("-port", "-1", "expected a port"),
        ("-port", "80²", "expected a port"),
        ("-http-port", "x", "-http-port is 'x', expected a port"),
        ("-host", "a:80", "expected the name of a host or an address without a port"),
        ("-host", "a/b", "expected the name of a host"),
        ("-host", "a_b!", "is not a site address"),
    ],
)
def test_defaults_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        configuration.defaults(Given({name: [value]}, []))
    assert said in str(raised.value)


def test_policies_are_judged_beside_other_mistakes(here: Path) -> None:
    (here / "Caddyfile").write_text(
        ":80 {\n proxy / a:1 b:1 {\n  policy frist\n  max_fails x\n }\n proxy /b c:1 { policy header }\n}\n"
    )
    with pytest.raises(AdaptError) as raised:
        configuration.load(_given())
    assert [(one.place.line, one.message.partition(":")[0]) for one in raised.value.mistakes] == [
        (3, "unknown policy `frist`"),
        (4, "expected a whole number, found `x`"),
        (6, "policy `header` needs the name of a field, found nothing"),
    ]


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
