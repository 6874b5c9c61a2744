"""The ready line: one address per listener, real ports, sorted."""

from __future__ import annotations

import pytest

from posthouse.config.specs import AddressSpec, Config, SiteSpec
from posthouse.server.ready import ready_line


def _site(*hosts: str, port: int = 0, bind: str = "") -> SiteSpec:
    return SiteSpec(tuple(AddressSpec(host, "http", host, port, "") for host in hosts), bind=bind)


@pytest.mark.parametrize(
    ("site", "key", "address"),
    [
        (_site(""), ("", 0), "http://127.0.0.1:4711"),
        (_site("a.test"), ("", 0), "http://127.0.0.1:4711"),
        (_site("127.0.0.1"), ("", 0), "http://127.0.0.1:4711"),
        (_site("localhost"), ("", 0), "http://localhost:4711"),
        (_site("localhost", "127.0.0.1"), ("", 0), "http://127.0.0.1:4711"),
        (_site("localhost", "a.test"), ("", 0), "http://127.0.0.1:4711"),
        (_site("", bind="10.1.2.3"), ("10.1.2.3", 0), "http://10.1.2.3:4711"),
        (_site("localhost", bind="10.1.2.3"), ("10.1.2.3", 0), "http://10.1.2.3:4711"),
        (_site("", bind="::1"), ("::1", 0), "http://[::1]:4711"),
        (_site("", bind="::"), ("::", 0), "http://127.0.0.1:4711"),
        (_site("", bind="0.0.0.0"), ("0.0.0.0", 0), "http://127.0.0.1:4711"),
    ],
)
def test_the_address_that_opens(site: SiteSpec, key: tuple[str, int], address: str) -> None:
    line = ready_line(Config((site,)), {key: 4711}, pid=7, workers=1)
    assert line == f"ready: {address} (pid 7, workers 1)"


def test_several_are_sorted() -> None:
    config = Config((_site("", port=8080), _site("", port=80), _site("localhost", port=0)))
    ports = {("", 8080): 8080, ("", 80): 80, ("", 0): 4711}
    line = ready_line(config, ports, pid=12, workers=2)
    expected = "ready: http://127.0.0.1:80 http://127.0.0.1:8080 http://localhost:4711 (pid 12, workers 2)"
    assert line == expected
