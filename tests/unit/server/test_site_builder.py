"""One site is built: what goes wrong is collected with its place, and what was opened is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.adapt import adapt
from posthouse.config.specs import RotationSpec
from posthouse.errors import Place, StartError
from posthouse.server.built_site import BuiltSite
from posthouse.server.logs import log_key
from posthouse.server.runtime import Runtime
from posthouse.server.site_builder import SiteBuilder, rotation_mistake
from posthouse.testing.check_policy import SampleChoice
from unit.server.fakes import Remembering


@pytest.fixture
def runtime(log: Remembering) -> Iterator[Runtime]:
    loop = asyncio.new_event_loop()
    made = Runtime(loop, log)
    yield made
    made.close()
    loop.close()


def built_from(text: str, runtime: Runtime, builder: SiteBuilder) -> BuiltSite:
    (spec,) = adapt(text, "Caddyfile", env={}).config.sites
    built = BuiltSite(spec, runtime)
    built.hold()
    builder.build(built)
    return built


def test_a_site_with_everything_it_names(runtime: Runtime, tmp_path: Path) -> None:
    builder = SiteBuilder(runtime, {})
    built = built_from(
        f"a.test:80 {{\n log {tmp_path}/a\n gzip\n internal /i\n root {tmp_path}\n errors {tmp_path}/e\n"
        " proxy /x localhost:1 {\n  health_check /h\n }\n proxy / localhost:2\n}\n",
        runtime,
        builder,
    )
    site = built.site
    assert builder.mistakes == []
    assert list(built.pools) == ["a.test:80 /x", "a.test:80 /"]
    assert [route.base_key for route in site.routes] == ["/x", "/"]
    assert [check.backend.name for check in built.checks] == ["http://localhost:1"]
    assert len(built.logs) == 2 and site.errors is not None
    assert site.compressions is not None and site.responder is not None and site.is_internal
    built.let_go()
    assert runtime.logs._held == {}


def test_mistakes_are_collected_over_sites(runtime: Runtime) -> None:
    builder = SiteBuilder(runtime, {})
    text = "{}.test:80 {{\n proxy / a b {{\n  policy oops\n }}\n basicauth / u htpasswd=/none\n}}\n"
    for host in "ab":
        built_from(text.format(host), runtime, builder)
    assert [one.place.line for one in builder.mistakes] == [3, 5, 3, 5]


def test_the_pool_of_the_same_name_hands_its_backends_on(runtime: Runtime) -> None:
    first = built_from("a.test:80 {\n proxy / localhost:1\n}\n", runtime, SiteBuilder(runtime, {}))
    builder = SiteBuilder(runtime, first.pools)
    second = built_from("a.test:80 {\n proxy / localhost:1 localhost:2\n}\n", runtime, builder)
    (backend,) = first.pools["a.test:80 /"].backends
    assert second.pools["a.test:80 /"].backends[0] is backend


def test_what_was_opened_before_something_failed_is_given_back(runtime: Runtime, tmp_path: Path) -> None:
    text = f":80 {{\n log / {tmp_path}/a\n log / {tmp_path}/no/b\n}}\n"
    (spec,) = adapt(text, "Caddyfile", env={}).config.sites
    built = BuiltSite(spec, runtime)
    built.hold()
    with pytest.raises(StartError, match="Caddyfile:3:"):
        SiteBuilder(runtime, {}).build(built)
    assert len(built.logs) == 1
    built.let_go()
    assert runtime.logs._held == {}


def test_one_file_has_one_rotation() -> None:
    key = log_key("a.log")
    first = RotationSpec(size=1, place=Place("f", 1, 1))
    assert rotation_mistake(key, first, RotationSpec(size=1, place=Place("f", 2, 1))) is None
    mistake = rotation_mistake(key, first, RotationSpec(size=2, place=Place("f", 2, 1)))
    assert mistake is not None and mistake.place == Place("f", 2, 1)
    assert mistake.message == "`a.log` is rotated in another way at f:1:1: one file has one rotation"


def test_workers_take_turns_from_different_backends_on(log: Remembering) -> None:
    """When they start, that is: with a pool that takes the place of another they begin anywhere."""
    text = "a.test:80 {\n proxy / localhost:1 localhost:2 localhost:3 {\n  policy round_robin\n }\n}\n"
    first = set()
    for number in range(3):
        loop = asyncio.new_event_loop()
        runtime = Runtime(loop, log)
        runtime.secret, runtime.worker, runtime.workers = b"same", number, 3
        built = built_from(text, runtime, SiteBuilder(runtime, {}))
        first.add(first_of(built))
        later = [first_of(built_from(text, runtime, SiteBuilder(runtime, built.pools))) for _ in range(30)]
        assert len(set(later)) > 1
        runtime.close()
        loop.close()
    assert len(first) == 3


def first_of(built: BuiltSite) -> str:
    backend = built.pools["a.test:80 /"].select(SampleChoice(1), 0.0)
    assert backend is not None
    return backend.name
