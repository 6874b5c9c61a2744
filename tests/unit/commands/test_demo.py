"""`posthouse demo`: its Caddyfile, what it tells, and backends that never outlive it."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from posthouse.adapt import adapt
from posthouse.commands import demo, serving
from posthouse.errors import StartError


def test_its_caddyfile_is_one() -> None:
    (site,) = adapt(demo.caddyfile(8080, [1, 2, 3]), "demo").config.sites
    assert (site.bind, site.addresses[0].port) == ("127.0.0.1", 8080)
    assert [endpoint.port for endpoint in site.routes[0].pool.endpoints] == [1, 2, 3]


def test_the_introduction_has_every_address_and_the_caddyfile() -> None:
    text = demo.caddyfile(8080, [9001, 9002, 9003])
    told = demo.introduction(8080, [9001, 9002, 9003], [11, 12, 13], text)
    for address in ("http://127.0.0.1:8080/", "http://127.0.0.1:9001/", "http://127.0.0.1:9003/", "(pid 12)"):
        assert address in told
    for line in text.splitlines():
        assert line.strip() in told


def test_backends_end_with_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    children: list[demo.Child] = []
    start = demo._start

    def note(name: str) -> demo.Child:
        children.append(start(name))
        return children[-1]

    def fail(
        given: object,
        loaded: object,
        reload: object,
        bound: dict[object, list[socket.socket]],
        **more: object,
    ) -> int:
        for listening in (one for several in bound.values() for one in several):
            listening.close()
        assert [child.poll() for child in children] == [None] * 3
        raise StartError("on purpose")

    monkeypatch.setattr(demo, "_start", note)
    monkeypatch.setattr(serving, "serve", fail)
    with pytest.raises(StartError, match="on purpose"):
        demo.COMMAND.run([])
    assert [child.poll() for child in children] == [0] * 3
    assert "Posthouse demo" in capsys.readouterr().out


def test_a_backend_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> demo.Child:
        words = [sys.executable, "-c", "raise SystemExit(3)"]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(demo, "_start", broken)
    with pytest.raises(StartError, match=r"a backend of the demo did not start \(exit code 3\)"):
        demo.COMMAND.run([])


def test_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(StartError, match="cannot start backend one: No such file or directory"):
        demo.COMMAND.run([])


def test_one_that_does_not_obey_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_END_SECONDS", 0.01)
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    demo._end(child)
    assert child.returncode == -9
