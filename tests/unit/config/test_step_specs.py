from __future__ import annotations

from posthouse.config.step_specs import BasicAuthSpec, RedirectSpec, RewriteSpec


def test_the_defaults_are_those_of_v1() -> None:
    assert RewriteSpec(("/to",)).base == "/"
    assert (RedirectSpec("/", "/x").status, RedirectSpec("/", "/x").is_meta) == (301, False)
    assert BasicAuthSpec("bob").realm == "Restricted"


def test_a_password_is_never_shown() -> None:
    assert "hiccup" not in repr(BasicAuthSpec("bob", "hiccup", paths=("/",)))
    assert BasicAuthSpec("bob", "hiccup") != BasicAuthSpec("bob", "hiccuq"), "a changed one is a change"
