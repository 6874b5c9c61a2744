"""What each proxy is told: the same forwarding, the same twelve rules, and Posthouse understands its own file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.proxies import caddy, envoy, haproxy, nginx, posthouse, rules
from benchmarks.proxies.setup import STATIC, Setup
from benchmarks.proxies.table import PROXIES

from posthouse.adapt import adapt

SETUP = Setup(port=8080, backend_port=9000, folder=Path("/run/bench"))


def configuration(name: str, setup: Setup, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the proxy is told, whether or not it is installed."""
    for each in (caddy, envoy, haproxy, nginx):
        monkeypatch.setattr(each, "program", str)
    before = set(folder.iterdir())
    PROXIES[name].prepare(replace(setup, folder=folder))
    (made,) = set(folder.iterdir()) - before
    return made.read_text()


def test_there_are_twelve_rules() -> None:
    removals = [rules.REQUEST_REMOVED, rules.RESPONSE_REMOVED]
    assert len(rules.REQUEST) + len(rules.RESPONSE) + len(removals) == 12


@pytest.mark.parametrize("name", PROXIES)
def test_every_rule_is_told_when_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [*rules.REQUEST, rules.REQUEST_REMOVED, *rules.RESPONSE, rules.RESPONSE_REMOVED]
    with_rules = configuration(name, replace(SETUP, has_rules=True), tmp_path, monkeypatch)
    assert [each for each in names if each not in with_rules] == []
    (tmp_path / "second").mkdir()
    without = configuration(name, SETUP, tmp_path / "second", monkeypatch)
    assert [each for each in names if each in without] == []


@pytest.mark.parametrize("name", PROXIES)
def test_the_access_log_is_off_unless_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = configuration(name, SETUP, tmp_path, monkeypatch)
    assert "/var/log/it" not in told and "httplog" not in told
    (tmp_path / "second").mkdir()
    logged = replace(SETUP, access_log=Path("/var/log/it"))
    told = configuration(name, logged, tmp_path / "second", monkeypatch)
    assert "/var/log/it" in told or "httplog" in told


@pytest.mark.parametrize("name", [name for name in PROXIES if STATIC not in PROXIES[name].lacks])
def test_a_root_takes_the_place_of_forwarding(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = configuration(name, replace(SETUP, root=Path("/srv/www")), tmp_path, monkeypatch)
    assert "/srv/www" in told


@pytest.mark.parametrize("name", PROXIES)
def test_a_certificate_is_not_verified(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = configuration(name, replace(SETUP, is_tls=True), tmp_path, monkeypatch)
    # Envoy verifies nothing unless it is given something to trust.
    told_so = ("insecure_skip_verify", "verify off", "verify none", "UpstreamTlsContext")
    assert any(word in told for word in told_so)


@pytest.mark.parametrize("setup", [SETUP, replace(SETUP, has_rules=True, access_log=Path("/run/bench/log"))])
def test_posthouse_understands_its_file(setup: Setup) -> None:
    site = adapt(posthouse.caddyfile(setup), "Caddyfile").config.sites[0]
    assert len(site.routes[0].header_upstream) == (6 if setup.has_rules else 0)
