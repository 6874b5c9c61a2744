"""A delta turns the old configuration into the new one, and keeps the objects of what stays."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.adapt import adapt
from posthouse.config.delta import Delta, Kept, apply_delta, make_delta, whole
from posthouse.config.specs import Config
from unit.config.changing import configs


@given(configs, configs)
def test_a_delta_makes_the_new_configuration_of_the_old_one(old: Config, new: Config) -> None:
    delta = make_delta(old, new)
    made = apply_delta(old, delta)
    assert made == new and made.notices == new.notices
    built = [id(site) for site in delta.built]
    assert all(id(site) in built or any(site is one for one in old.sites) for site in made.sites)
    assert delta.is_nothing(old) == (old == new)
    assert apply_delta(old, pickle.loads(pickle.dumps(delta))) == new
    assert whole(delta, old) == new and whole(new, None) is new


@given(configs)
def test_nothing_turns_a_configuration_into_itself(config: Config) -> None:
    delta = make_delta(config, config)
    assert delta.built == () and delta.is_nothing(config)
    assert delta.parts == ((Kept(0, len(config.sites)),) if config.sites else ())


@given(configs, st.randoms())
def test_an_order_is_a_change_that_builds_nothing(config: Config, random: object) -> None:
    shuffled = list(config.sites)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    delta = make_delta(config, Config(tuple(shuffled)))
    assert delta.built == ()
    assert apply_delta(config, delta) == Config(tuple(shuffled))


def test_only_what_differs_is_in_it() -> None:
    text = "".join(f"http://{host}.test {{\n status 404 /\n}}\n" for host in "abcde")
    old = adapt(text, "f", env={}).config
    new = adapt("# moved\n" + text.replace("404", "410", 3).replace("410", "404", 2), "f", env={}).config
    delta = make_delta(old, new)
    assert delta.parts == (Kept(0, 2), new.sites[2], Kept(3, 2))
    assert delta.built == (new.sites[2],)
    moved = adapt("# moved\n" + text, "f", env={}).config
    assert make_delta(old, moved).is_nothing(old)


def test_a_delta_of_another_configuration() -> None:
    with pytest.raises(ValueError, match="that has 0 sites"):
        apply_delta(Config(()), Delta((Kept(0, 1),)))
