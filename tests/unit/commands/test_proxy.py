"""`posthouse proxy`: options -> the Caddyfile that they mean."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from posthouse.adapt import Adapted, AdaptError, adapt
from posthouse.caddyfile.lexer import lex
from posthouse.commands import proxy, serving
from posthouse.commands.command_line import Given, UsageError
from posthouse.server.recruits import Recruits


def test_the_caddyfile() -> None:
    text = proxy.caddyfile(":8080", ["localhost:9000", "unix:/run/a.sock"], "header X-User")
    assert text == (
        ":8080 {\n\tproxy / localhost:9000 unix:/run/a.sock {\n\t\tpolicy `header` `X-User`\n\t}\n}\n"
    )
    (site,) = adapt(text, "command line").config.sites
    (route,) = site.routes
    assert [endpoint.text for endpoint in route.pool.endpoints] == [
        "http://localhost:9000",
        "unix:/run/a.sock",
    ]
    assert (route.pool.policy.name, route.pool.policy.args) == ("header", ("X-User",))


@pytest.mark.parametrize(
    "text", ["{", "}", "import", "a b", "#x", '"x', "policy", "a,", "(x)", "`", 'a"', "x{y"]
)
def test_a_word_is_never_syntax(text: str) -> None:
    (token,) = lex(proxy.word(text), "")
    assert token.text == text
    assert token.quoted


@forall(st.text())
def test_any_word_means_itself_or_is_refused(text: str) -> None:
    try:
        written = proxy.word(text)
    except UsageError:
        return
    (token,) = lex(written, "")
    assert token.text == text


@pytest.mark.parametrize("text", ["", "a\nb", "\x00", '`"', "`\\"])
def test_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address or a name"):
        proxy.word(text)


@pytest.mark.parametrize("site", ["import", "(x)", "a b", "a,b"])
def test_a_site_that_is_none_is_a_mistake_not_syntax(site: str) -> None:
    try:
        adapted = adapt(proxy.caddyfile(site, ["localhost:1"]), "command line")
    except AdaptError as error:
        assert error.mistakes[0].place.line == 1
    else:
        assert len(adapted.config.sites) == 1


def test_the_command_serves_it_and_never_reloads(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[Given, Adapted, Callable[[], Adapted | None]]] = []

    def serve(given: Given, loaded: Adapted, reload: Callable[[], Adapted | None], recruits: Recruits) -> int:
        assert recruits.take() is None
        served.append((given, loaded, reload))
        return 0

    monkeypatch.setattr(serving, "serve", serve)
    monkeypatch.setattr(serving, "enlist", lambda given: Recruits())
    assert proxy.COMMAND.run(["--to", "a:1", "--to", "b:1"]) == 0
    ((_, loaded, reload),) = served
    (site,) = loaded.config.sites
    assert site.addresses[0].port == 2015
    assert [endpoint.host for endpoint in site.routes[0].pool.endpoints] == ["a", "b"]
    assert reload() is None


def test_it_needs_a_backend() -> None:
    with pytest.raises(UsageError, match="proxy needs at least one backend: --to localhost:9000"):
        proxy.COMMAND.run(["--from", ":8080"])


def test_all_its_mistakes_are_told_at_once() -> None:
    with pytest.raises(AdaptError) as raised:
        proxy.COMMAND.run(["--to", "a:x", "--policy", "roundrobin"])
    first, second = raised.value.mistakes
    assert "`x` is not a port" in first.message
    assert (second.message, second.hint) == ("unknown policy `roundrobin`", "did you mean `round_robin`?")
