"""What stays of a generation when the next one comes: sites that have not changed, and nothing else."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.certificates import write_authority
from posthouse.errors import ConfigError, StartError
from posthouse.server.built_site import BuiltSite, stamps_of
from posthouse.server.key_files import KeyFiles
from unit.proxy.peers import Client
from unit.proxy.samples import read_head
from unit.proxy.world import World
from unit.server.fakes import Remembering
from unit.server.rebuilding import Succession


@pytest.fixture
def run(log: Remembering) -> Iterator[Succession]:
    made = Succession(log)
    yield made
    made.close()


def sites(*values: object) -> str:
    """A site for each value: its backend's port."""
    return "".join(
        f"http://{name}.test {{\n proxy / 127.0.0.1:{value} {{\n  health_check /h\n }}\n}}\n"
        for name, value in zip("abcdef", values, strict=False)
    )


def exchange_of(run: Succession, host: str) -> Any:
    """One that has begun and will not end by itself."""
    client = Client(World())
    plan = run.now.handler(("", 80))
    client.exchange = plan.begin(client, read_head(f"GET / HTTP/1.1\nHost: {host}"), 0.0)
    return client.exchange


# -- what is built -------------------------------------------------------------------------------------------------


def test_only_the_sites_that_have_changed_are_built(run: Succession) -> None:
    first = run.serve(sites(1, 2, 3))
    before = list(first.sites)
    second = run.serve("# moved\n" + sites(1, 9, 3) + "http://d.test {\n}\n")
    assert [built is old for built, old in zip(second.sites, before, strict=False)] == [True, False, True]
    assert len(second.sites) == 4
    assert second.pools["http://b.test /"].backends[0].name == "http://127.0.0.1:9"
    assert second.number == first.number + 1
    third = run.serve(sites(1, 9, 3))
    assert [site.spec.addresses[0].host for site in third.sites] == ["a.test", "b.test", "c.test"]


def test_every_listener_finds_both_kinds(run: Succession) -> None:
    run.serve(sites(1, 2))
    second = run.serve(sites(1, 3))
    plan = second.handler(("", 80))
    target = run.runtime.reactor.codec.targets.parse(b"/")
    for host, built in zip(("a.test", "b.test"), second.sites, strict=True):
        found = plan.sites.find(host, target)
        assert found is not None and found[0] is built.site


def test_an_altered_site_keeps_the_state_of_its_backends(run: Succession) -> None:
    first = run.serve(sites(1, 2))
    (backend,) = first.pools["http://b.test /"].backends
    second = run.serve(sites(1, 2).replace("127.0.0.1:2", "127.0.0.1:2 127.0.0.1:3"))
    assert second.pools["http://b.test /"].backends[0] is backend


def test_a_pool_that_moves_to_another_site_keeps_its_state(run: Succession) -> None:
    named = "http://{}.test {{\n proxy / 127.0.0.1:1 {{\n  name p\n }}\n}}\n"
    (backend,) = run.serve(named.format("a")).pools["p"].backends
    assert run.serve(named.format("b")).pools["p"].backends == (backend,)


# -- what the files look like --------------------------------------------------------------------------------------


def test_a_site_is_built_again_when_a_file_has_changed(run: Succession, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    text = f"http://a.test {{\n basicauth / u htpasswd={users}\n}}\n" + sites(1).replace("a.test", "b.test")
    before = list(run.serve(text).sites)
    assert run.serve(text).sites == before
    users.write_text("u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nu2:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    after = run.serve(text).sites
    assert [one is other for one, other in zip(before, after, strict=True)] == [False, True]
    users.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        run.serve(text)
    assert run.now.sites == after, "and what serves stays"


def test_of_a_file_that_was_read_for_us_its_content_counts(run: Succession) -> None:
    """As with workers that may not even look at it."""
    line = b"u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"
    text = "http://a.test {\n basicauth / u htpasswd=/nowhere/users\n}\n"
    run.runtime.files.given = {"/nowhere/users": line}
    before = list(run.serve(text).sites)
    run.runtime.files.given = {"/nowhere/users": bytes(line)}
    assert run.serve(text).sites == before
    run.runtime.files.given = {"/nowhere/users": line + line.replace(b"u:", b"v:")}
    assert run.serve(text).sites != before


@pytest.mark.parametrize(
    "text",
    [
        ":80 {\n proxy / https://a {\n  ca_certificates FILE\n }\n}\n",
        ":80 {\n proxy / https://a {\n  tls_client FILE FILE\n }\n}\n",
        ":80 {\n basicauth / u htpasswd=FILE\n}\n",
        ":80 {\n proxy / a b {\n  policy sticky secret=FILE\n }\n}\n",
    ],
)
def test_the_files_that_count(text: str, tmp_path: Path, run: Succession) -> None:
    path = tmp_path / "file"
    from posthouse.adapt import adapt

    (spec,) = adapt(text.replace("FILE", str(path)), "Caddyfile", env={}).config.sites
    absent = stamps_of(spec, KeyFiles())
    path.write_text("1")
    first = stamps_of(spec, KeyFiles())
    assert absent != first == stamps_of(spec, KeyFiles())
    replaced = tmp_path / "new"
    replaced.write_text("2")
    os.replace(replaced, path)
    assert stamps_of(spec, KeyFiles()) != first


def test_of_a_root_counts_only_whether_it_is_a_folder(tmp_path: Path) -> None:
    from posthouse.adapt import adapt

    root = tmp_path / "root"
    (spec,) = adapt(f":80 {{\n root {root}\n}}\n", "Caddyfile", env={}).config.sites
    absent = stamps_of(spec, KeyFiles())
    root.mkdir()
    there = stamps_of(spec, KeyFiles())
    (root / "index.html").write_text("x")
    assert absent != there == stamps_of(spec, KeyFiles())


def test_certificates_are_read_again_only_when_they_change(run: Succession, tmp_path: Path) -> None:
    text = f":80 {{\n proxy / https://a {{\n  ca_certificates {write_authority(tmp_path)}\n }}\n}}\n"
    identity = run.serve(text).pools[":80 /"].tls
    assert run.serve(text).pools[":80 /"].tls is identity


# -- health checks -------------------------------------------------------------------------------------------------


def test_checks_of_sites_that_stay_are_not_touched(run: Succession) -> None:
    first = run.serve(sites(1, 2))
    probers = dict(run.runtime.probes._probers)
    (kept,), (gone,) = (pool.backends for pool in first.pools.values())
    second = run.serve(sites(1, 3))
    (came,) = second.pools["http://b.test /"].backends
    assert set(run.runtime.probes._probers) == {kept, came}
    assert run.runtime.probes._probers[kept] is probers[kept]
    assert probers[gone] not in run.runtime.probes._probers.values()


# -- logs ----------------------------------------------------------------------------------------------------------


def logged(run: Succession) -> dict[str, int]:
    """Who holds which log, how often."""
    return {os.path.basename(key.output): users for key, (_, users) in run.runtime.logs._held.items()}


def test_logs_are_held_once_for_each_site_that_uses_them(run: Succession, tmp_path: Path) -> None:
    def text(*names: str) -> str:
        return "".join(
            f"http://{host}.test {{\n log / {tmp_path}/{name}\n}}\n"
            for host, name in zip("abc", names, strict=False)
        )

    run.serve(text("x", "x", "y"))
    assert logged(run) == {"x": 2, "y": 1}
    run.serve(text("x", "x", "y"))
    assert logged(run) == {"x": 2, "y": 1}, "all of them stay"
    exchange = exchange_of(run, "b.test")
    run.serve(text("x", "z", "y"))
    assert logged(run) == {"x": 2, "y": 1, "z": 1}, "the exchange still writes to its log"
    exchange.answer(404)
    assert logged(run) == {"x": 1, "y": 1, "z": 1}
    with pytest.raises(StartError):
        run.prepare(text("x", "w", "no/such/folder"))
    assert logged(run) == {"x": 1, "y": 1, "z": 1}, "a failed one leaves nothing behind"
    run.prepare(text("x", "w")).retire()
    assert logged(run) == {"x": 1, "y": 1, "z": 1}, "nor does one that never served"
    run.serve("http://a.test {\n}\n")
    assert logged(run) == {}


def test_a_rotation_may_be_changed_by_another_site(run: Succession, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    plain = f"http://a.test {{\n log {path}\n}}\n"
    rotated = f"http://b.test {{\n log {path} {{\n  rotate_size 5\n }}\n}}\n"
    run.serve(plain)
    (output,) = run.runtime.logs._outputs.values()

    def size() -> int:
        assert output.rotator is not None
        return output.rotator.rotation.size

    assert size() == 100 << 20
    run.serve(plain + rotated)
    assert size() == 5 << 20
    run.serve(plain + rotated + "http://c.test {\n}\n")
    assert size() == 5 << 20
    with pytest.raises(ConfigError, match="one file has one rotation"):
        run.serve(plain + rotated + rotated.replace("b.test", "c.test").replace("size 5", "size 6"))
    run.serve(plain)
    assert size() == 100 << 20


# -- exchanges and memory ------------------------------------------------------------------------------------------


def test_an_exchange_ends_on_the_generation_that_it_began_with(run: Succession) -> None:
    first = run.serve(sites(1, 2))
    exchange = exchange_of(run, "a.test")
    second = run.serve(sites(1, 3))
    assert (first.in_flight, second.in_flight) == (1, 0)
    assert len(first.sites) == 2
    exchange.answer(404)
    assert (first.in_flight, second.in_flight, first.sites) == (0, 0, [])


FULL = """http://a.test {
    log stderr
    header / X-A b
    gzip
    rewrite /a /b
    basicauth /u u p
    errors stderr
    root .
    proxy / 127.0.0.1:1 127.0.0.1:2 {
        VARIANT
        fail_timeout 1m
        max_ejected 50%
        breaker
    }
}
"""
VARIANTS = [
    "policy random",
    "policy least_conn",
    "policy sticky",
    "policy ewma",
    "slow_start 5s",
    "max_conns 3",
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("after", [FULL.replace("VARIANT", "policy first"), "http://b.test {\n}\n"])
def test_what_goes_is_freed_without_the_collector(run: Succession, variant: str, after: str) -> None:
    """Which may never look at it (`memory.settle`)."""
    pool = run.serve(FULL.replace("VARIANT", variant)).pools["http://a.test /"]
    for backend in pool.backends:
        pool.fail(backend, run.runtime.clock(), "refused")
    del pool, backend
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        run.serve(after)
        gc.collect()
        left = [type(one).__name__ for one in gc.garbage if type(one).__module__.startswith("posthouse.")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


def test_it_introduces_itself(run: Succession) -> None:
    (built,) = run.serve(sites(1)).sites
    assert isinstance(built, BuiltSite)
    assert repr(built) == "<BuiltSite 'http://a.test' held=1>"
