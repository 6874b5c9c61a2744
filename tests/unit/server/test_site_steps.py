"""From specs to steps: their order, the files they ask for, and what a mistake is told as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.adapt import adapt
from posthouse.config.specs import SiteSpec
from posthouse.directives import DIRECTIVES
from posthouse.errors import ConfigError
from posthouse.protocol.target import Targets
from posthouse.proxy.answer import Answer
from posthouse.server.site_steps import BUILDERS, HTPASSWD_BYTES, Means, build_steps, exists_below
from unit.steps.fake_visit import FakeVisit

HASH = "$2b$04$ikb39OqjyG3gd2ueCXpxXuM7lzyZUmFRfq/3MMCRxB8rJ4aiPHFYa"


class NoChecks:
    """Takes no check: a slow password shows by that."""

    def submit(
        self,
        client: str,
        check: Callable[[], bool],
        done: Callable[[bool], None],
        is_wanted: Callable[[], bool],
    ) -> bool:
        return False


MEANS = Means(Targets(), NoChecks(), b"k" * 32, lambda: 0.0)


def site(directives: str, root: str = "") -> SiteSpec:
    spec = adapt(f"http://localhost {{\n{directives}\n}}\n", "Caddyfile", env={}).config.sites[0]
    object.__setattr__(spec, "root", root)
    return spec


def names(spec: SiteSpec) -> list[str]:
    return [type(step).__name__ for step in build_steps(spec, MEANS)]


ALL = "internal /i\nstatus 404 /s\nredir /r /x\nbasicauth /b u p\nrewrite /w /y\next .html"


def test_the_order_is_that_of_effect_whatever_the_file_says() -> None:
    assert names(site(ALL)) == ["Rewrite", "Extensions", "BasicAuth", "Redirects", "Statuses", "Internal"]
    assert list(BUILDERS) == [name for name in DIRECTIVES if name in BUILDERS]


def test_what_a_site_does_not_use_is_not_there() -> None:
    assert names(site("proxy / a")) == []
    for line in ALL.split("\n"):
        assert len(names(site(line))) == 1


def act(spec: SiteSpec, target: str, **fields: str) -> Answer | str | None:
    """The answer of the first step that gives one, else where the request goes."""
    visit = FakeVisit(target, {name.replace("_", "-"): value for name, value in fields.items()})
    for step in build_steps(spec, MEANS):
        answer = step.act(visit)
        if answer is not None:
            assert isinstance(answer, Answer)
            return answer
    return visit.moved[-1].decode() if visit.moved else None


def test_paths_are_compared_as_everywhere() -> None:
    spec = site("internal /I//x/\nstatus 410 /S\nbasicauth /B u p")
    for target, status in (("/i/X/a", 404), ("/%73", 410), ("//b", 401)):
        answer = act(spec, target)
        assert isinstance(answer, Answer) and answer.status == status


def test_files_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a b.txt").write_text("x")
    (tmp_path.parent / "outside.txt").write_text("x")
    exists = exists_below(site("rewrite /a /b", str(tmp_path)))
    assert exists("/a b.txt") and exists("/folder/") and exists("/")
    for path in ("/a b.txt/", "/folder", "/none", "/none/", "/a\0b", "/\udcff", "/" + "x" * 5000):
        assert not exists(path), path
    nothing = exists_below(site("rewrite /a /b"))
    assert not nothing("/") and not nothing("/etc/passwd")
    spec = site("rewrite .* {path} /index?p={path}", str(tmp_path))
    assert act(spec, "/a%20b.txt") == "/a%20b.txt"
    assert act(spec, "/../outside.txt") == "/index?p=/outside.txt"


@pytest.mark.parametrize(
    ("text", "root", "found"), [("ext .html", "", "/page.html"), ("ext .html\nroot .", ".", None)]
)
def test_ext_looks_where_the_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, root: str, found: str | None
) -> None:
    """Without a root in the working directory, as in v1; and it finds no file that is hidden."""
    (tmp_path / "page.html").touch()
    (tmp_path / "Caddyfile").hardlink_to(tmp_path / "page.html")
    monkeypatch.chdir(tmp_path)
    assert act(site(text, root), "/page") == found


def basic(user: str, password: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / ".users"
    file.write_text(
        "# of two servers\n"
        "sha:{SHA}dcAUljwz99qFjYR0YLTXx0RqLww=\n"
        "plain:secret\n"
        f"bcrypt:{HASH}\n"
        "apr1:$apr1$l42y8rex$pOA2VJ0x/0TwaFeAF9nX61\n"
        "other:$6$abc$hunter2\n"
    )
    return file


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("sha", "IedFOuGmTpT8", None),
        ("sha", "x", 401),
        ("plain", "secret", None),
        ("bcrypt", "hiccup", 503),
        ("apr1", "IedFOuGmTpT8", 503),
    ],
)
def test_password_files(users: Path, user: str, password: str, status: int | None) -> None:
    spec = site(f"basicauth / {user} htpasswd=.users", str(users.parent))
    answer = act(spec, "/", Authorization=basic(user, password))
    assert (answer.status if isinstance(answer, Answer) else answer) == status


def test_where_a_password_file_is_looked_for(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the root, as in v1; without one in the working directory; an absolute name also where it says."""
    monkeypatch.chdir(users.parent)
    for root, file in (
        ("", ".users"),
        ("", str(users)),
        (str(users.parent), "/.users"),
        ("/none", str(users)),
    ):
        assert names(site(f"basicauth / plain htpasswd={file}", root)) == ["BasicAuth"]


@pytest.mark.parametrize(
    ("user", "file", "why"),
    [
        ("plain", "none", "cannot be read: No such file or directory"),
        ("plain", ".", "cannot be read: Is a directory"),
        ("nobody", ".users", "cannot be used: it has no such user"),
        ("other", ".users", "cannot be used: the hash is of a kind that is not known"),
        ("plain", "broken", "cannot be used: line 2 is not USER:PASSWORD"),
        ("plain", "large", "is larger than 1MB"),
    ],
)
def test_mistakes_have_their_place_and_no_secret(users: Path, user: str, file: str, why: str) -> None:
    (users.parent / "broken").write_text("plain:hunter2\nhunter2\n")
    (users.parent / "large").write_text("plain:hunter2".ljust(HTPASSWD_BYTES + 1))
    spec = site(f"basicauth / {user} htpasswd={file}\nbasicauth / u p", str(users.parent))
    with pytest.raises(ConfigError) as raised:
        build_steps(spec, MEANS)
    (mistake,) = raised.value.mistakes
    assert (mistake.place.line, mistake.place.column, mistake.width) == (2, 1, 9)
    assert why in mistake.message and "hunter2" not in str(raised.value)


def test_a_broken_hash_in_the_caddyfile_is_no_password() -> None:
    with pytest.raises(ConfigError) as raised:
        build_steps(site(f"basicauth / u {HASH[:-1]}"), MEANS)
    assert "the bcrypt hash is malformed" in str(raised.value) and HASH[:-1] not in str(raised.value)


def test_a_file_as_large_as_it_may_be(users: Path) -> None:
    (users.parent / "large").write_text("plain:x\n#".ljust(HTPASSWD_BYTES, "-"))
    assert names(site("basicauth / plain htpasswd=large", str(users.parent))) == ["BasicAuth"]
