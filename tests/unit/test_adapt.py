from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from posthouse.adapt import AdaptError, adapt, adapt_file, adapt_lines, is_directive
from posthouse.config.addresses import Defaults
from posthouse.errors import ConfigError, Place, StartError


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(AdaptError) as raised:
        adapt(text, "Caddyfile", env={})
    return [f"{one.place} {one.message}" for one in raised.value.mistakes]


def test_sites_come_in_the_order_of_the_file() -> None:
    adapted = adapt(
        "b.test {\nproxy / x\n}\na.test:82, c.test:81 {\nproxy / y\nbind 127.0.0.1\n}", "f", env={}
    )
    assert [[one.text for one in site.addresses] for site in adapted.config.sites] == [
        ["b.test"],
        ["a.test:82", "c.test:81"],
    ]
    assert adapted.config.sites[1].bind == "127.0.0.1"
    assert adapted.config.notices == ()
    assert list(adapted.sources) == ["f"]


def test_several_addresses_make_one_pool() -> None:
    (site,) = adapt("a.test, b.test {\nproxy / x\n}", "f", env={}).config.sites
    (route,) = site.routes
    assert route.pool.name == "a.test /"


def test_pool_names_are_unique_over_the_file() -> None:
    text = 'a.test {\nproxy / x { except /a }\nproxy / y\n}\nb.test {\nproxy / z { name "a.test /" }\n}'
    names = [one.pool.name for site in adapt(text, "f", env={}).config.sites for one in site.routes]
    assert names == ["a.test /", "a.test /#2", "a.test /#3"]


def test_all_mistakes_come_in_the_order_of_the_file() -> None:
    text = """a.test:99999 {
	gzip zstd
	proxy / ws://x
	prox / x
	bind
}
b.test, ftp://c {
	proxy / z { polcy first }
}
b.test {
	proxy / z
}
"""
    assert mistakes_of(text) == [
        "Caddyfile:1:1 `a.test:99999` is not a site address: `99999` is not a port (0 to 65535)",
        "Caddyfile:2:7 expected nothing or a block, found `zstd`",
        "Caddyfile:3:10 `ws://` is not a backend's scheme",
        "Caddyfile:4:2 unknown directive `prox`",
        "Caddyfile:5:2 too few arguments for `bind`: found none, expected 1 argument",
        "Caddyfile:7:9 `ftp://c` is not a site address: a site is served over http or https, not `ftp`",
        "Caddyfile:8:14 unknown property `polcy` of `proxy`",
        "Caddyfile:10:1 `b.test` is the same address as `b.test` at Caddyfile:7:1",
    ]


def test_mistakes_of_the_grammar_and_of_directives_come_together() -> None:
    assert mistakes_of("a.test {\nimport missing.conf\nprox / x\n}") == [
        "Caddyfile:2:8 found neither a file nor a snippet called `missing.conf`",
        "Caddyfile:3:1 unknown directive `prox`",
    ]


def test_a_mistake_in_a_file_that_is_imported_twice_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "common.conf").write_text("prox / x\n")
    file = tmp_path / "Caddyfile"
    file.write_text("a.test {\nimport common.conf\n}\nb.test {\nimport common.conf\n}")
    with pytest.raises(AdaptError) as raised:
        adapt_file(str(file), env={})
    (mistake,) = raised.value.mistakes
    assert mistake.place.file == str(tmp_path / "common.conf")
    assert raised.value.sources[mistake.place.file] == "prox / x\n"
    assert isinstance(raised.value, ConfigError)


def test_imports_are_relative_to_the_importing_file(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "dir.conf").mkdir()
    (tmp_path / "sites" / "b.conf").write_text("b.test {\nproxy / b\n}")
    (tmp_path / "sites" / "a.conf").write_text("a.test {\nimport ../common\n}")
    (tmp_path / "sites" / ".hidden.conf").write_text("{{{")
    (tmp_path / "common").write_text("proxy / common\n")
    file = tmp_path / "Caddyfile"
    file.write_text("import sites/*.conf\nimport none/*")
    adapted = adapt_file(str(file), env={})
    assert [site.addresses[0].text for site in adapted.config.sites] == ["a.test", "b.test"]
    assert adapted.config.sites[0].routes[0].place.file.endswith("common")
    assert len(adapted.sources) == 4
    assert [one.message for one in adapted.config.notices] == ["no file matches `none/*`"]


def test_a_folder_in_brackets_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "[old]"
    folder.mkdir()
    (folder / "a.conf").write_text("a.test\nproxy / a")
    (folder / "Caddyfile").write_text("import *.conf")
    assert len(adapt_file(str(folder / "Caddyfile"), env={}).config.sites) == 1


def test_files_that_cannot_be_imported_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9")
    (tmp_path / "folder").mkdir()
    file = tmp_path / "Caddyfile"
    file.write_text("import latin\nimport folder\n")
    with pytest.raises(AdaptError) as raised:
        adapt_file(str(file), env={})
    messages = [one.message for one in raised.value.mistakes]
    assert "it is not UTF-8" in messages[0] and "Is a directory" in messages[1]


def test_files_that_cannot_be_read_are_one_clear_line(tmp_path: Path) -> None:
    missing = str(tmp_path / "Caddyfile")
    with pytest.raises(StartError) as raised:
        adapt_file(missing)
    assert str(raised.value) == f"cannot read {missing}: No such file or directory"
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(StartError, match="it is not UTF-8 text"):
        adapt_file(str(tmp_path / "latin"))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a.test\nprox / x")))
    with pytest.raises(AdaptError) as raised:
        adapt_file("-")
    assert str(raised.value.mistakes[0].place) == "stdin:2:1"
    assert list(raised.value.sources) == ["stdin"]


def test_the_environment_is_given_or_the_processs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{$SITE}:81\nproxy / {$BACKEND}"
    site = adapt(text, "f", env={"SITE": "a.test", "BACKEND": "b:2"}).config.sites[0]
    assert (site.addresses[0].text, site.routes[0].pool.endpoints[0].port) == ("a.test:81", 2)
    monkeypatch.setenv("SITE", "c.test")
    monkeypatch.setenv("BACKEND", "b:3")
    assert adapt(text, "f").config.sites[0].addresses[0].text == "c.test:81"


def test_paths_are_case_sensitive_where_the_environment_says_so() -> None:
    text = "a.test/x {\nproxy / a\n}\na.test/X {\nproxy / a\n}"
    assert len(mistakes_of(text)) == 1
    for value in ("1", "true"):
        assert len(adapt(text, "f", env={"CASE_SENSITIVE_PATH": value}).config.sites) == 2
    with pytest.raises(AdaptError):
        adapt(text, "f", env={"CASE_SENSITIVE_PATH": "0"})


def test_notices_come_in_the_order_of_the_file() -> None:
    notices = adapt("example.com {\nproxy / a\nproxy / b\n}\na.test {\n}", "f", env={}).config.notices
    assert [one.place.line for one in notices] == [1, 3, 5]


def test_many_sites_take_time_in_proportion() -> None:
    """A bound on growth, not on the machine: four times the sites, less than twelve times the time."""

    def cost(count: int) -> float:
        text = "".join(
            f"a{n}.test {{\nproxy / b:80-82 {{ transparent }}\nlog stdout\n}}\n" for n in range(count)
        )
        start = time.process_time()
        assert len(adapt(text, "f", env={}).config.sites) == count
        return time.process_time() - start

    cost(50)
    assert cost(800) < 12 * cost(200) + 0.1


def test_lines_of_the_command_line_are_one_site() -> None:
    adapted = adapt_lines(
        ["proxy / {$APP} {", "transparent", "}"], env={"APP": "a:1"}, defaults=Defaults("b.test", 81)
    )
    (site,) = adapted.config.sites
    assert [(one.text, one.host, one.port) for one in site.addresses] == [("b.test:81", "b.test", 81)]
    assert site.routes[0].is_transparent
    assert site.routes[0].place == Place("arguments", 1, 1)
    assert adapt_lines([], env={}).config.sites[0].addresses[0].port == 2015


def test_a_mistake_in_lines_has_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("arguments").write_text("log stdout\n")
    with pytest.raises(AdaptError) as raised:
        adapt_lines(["log stdout", "proxy x"], env={})
    assert [str(one.place) for one in raised.value.mistakes] == ["arguments:2:7"]
    assert raised.value.sources["arguments"] == "log stdout\nproxy x"
    with pytest.raises(AdaptError, match="closes nothing"):
        adapt_lines(["log stdout", "}", ":9", "{"], env={})


def test_which_words_are_directives() -> None:
    assert is_directive("browse") and is_directive("fastcgi")
    assert not is_directive("file_server")
