"""Questions to a real name server on loopback: answers of every kind, and what is no answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from kit.dns_server import DnsServer, Trouble
from posthouse.discovery import lookup as module
from posthouse.discovery.lookup import Lookup, parse_servers
from posthouse.discovery.ports import Answer, Question, ServiceRecord, Unanswered


@pytest.fixture(scope="module")
def shared() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


@pytest.fixture
def server(shared: DnsServer) -> DnsServer:
    shared.clear()
    return shared


async def in_thread(work: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work)


def ask(server: DnsServer | int, name: str, question: Question) -> Answer:
    port = server if isinstance(server, int) else server.port
    return asyncio.run(Lookup(in_thread, [("127.0.0.1", port)]).ask(name, question))


def test_addresses(server: DnsServer) -> None:
    server.ttl = 77
    server.put("web.test", "A", "127.0.0.2", "127.0.0.1")
    server.put("web.test", "AAAA", "::1")
    assert ask(server, "web.test", "A") == Answer(("127.0.0.1", "127.0.0.2"), 77.0)
    assert ask(server, "web.test.", "AAAA") == Answer(("::1",), 77.0)


def test_service_records(server: DnsServer) -> None:
    server.put("_http._tcp.web.test", "SRV", "20 0 80 B.test.", "10 5 8080 a.test.", "30 0 0 .")
    assert ask(server, "_http._tcp.web.test", "SRV").records == (
        ServiceRecord(10, 5, "a.test", 8080),
        ServiceRecord(20, 0, "b.test", 80),
        ServiceRecord(30, 0, "", 0),
    )


def test_addresses_that_come_along(server: DnsServer) -> None:
    """One is taken; of several the system shall choose, and try them all."""
    server.put("web.test", "SRV", "0 0 80 a.test.", "0 0 80 b.test.", extra={"a.test.": "127.0.0.9"})
    server.put("web.test", "SRV", "0 0 80 a.test.", "0 0 80 b.test.", extra={"b.test.": "127.0.0.7"})
    server.put("web.test", "SRV", "0 0 80 a.test.", "0 0 80 b.test.", extra={"b.test.": "127.0.0.8"})
    found = {record.target: record.address for record in ask(server, "web.test", "SRV").records}
    assert found == {"a.test": "127.0.0.9", "b.test": ""}


def test_a_long_answer_comes_over_tcp(server: DnsServer) -> None:
    server.trouble = "truncated"
    server.put("web.test", "SRV", *(f"0 0 {port} host{port}.web.test." for port in range(1, 200)))
    assert len(ask(server, "web.test", "SRV").records) == 199
    assert server.over_tcp == 1


@pytest.mark.parametrize("name", ["web.test", "none.test"])
def test_none_is_an_answer(server: DnsServer, name: str) -> None:
    server.put("web.test", "A", "127.0.0.1")
    assert ask(server, name, "AAAA") == Answer((), module.NONE_SECONDS)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("SERVFAIL", "AAAA: SERVFAIL"),
        ("REFUSED", "AAAA: REFUSED"),
        ("silent", "AAAA: no answer within 0.2 s"),
        ("garbage", "AAAA: "),
    ],
)
def test_no_answer(server: DnsServer, trouble: Trouble, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.2)
    server.trouble = trouble
    with pytest.raises(Unanswered) as raised:
        ask(server, "web.test", "AAAA")
    assert str(raised.value).startswith(reason)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(Unanswered, match=r"Connection refused|no answer"):
        ask(port, "web.test", "A")


def test_a_name_that_cannot_be_asked_for(server: DnsServer) -> None:
    with pytest.raises(Unanswered):
        ask(server, "a" * 64 + ".test", "A")
    assert server.asked == []


def test_a_further_server_is_asked_when_the_first_fails(server: DnsServer) -> None:
    server.put("web.test", "A", "127.0.0.1")
    with DnsServer() as broken:
        broken.trouble = "SERVFAIL"
        one = Lookup(in_thread, [("127.0.0.1", broken.port), ("127.0.0.1", server.port)])
        assert asyncio.run(one.ask("web.test", "A")).records == ("127.0.0.1",)
        assert broken.asked == [("web.test", "A")]


def test_a_system_without_name_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    def missing(self: Any, f: Any = None) -> None:
        raise dns.resolver.NoResolverConfiguration("cannot open /etc/resolv.conf")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", missing)
    with pytest.raises(Unanswered, match=r"cannot open /etc/resolv\.conf"):
        asyncio.run(Lookup(in_thread).ask("web.test", "A"))


def test_it_introduces_itself() -> None:
    assert repr(Lookup(in_thread)) == "<Lookup asks those of the system>"
    assert (
        repr(Lookup(in_thread, [("::1", 53), ("127.0.0.1", 5353)])) == "<Lookup asks ::1:53, 127.0.0.1:5353>"
    )


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("127.0.0.1", [("127.0.0.1", 53)]),
        ("127.0.0.1:5353, [::1]:54,::1", [("127.0.0.1", 5353), ("::1", 54), ("::1", 53)]),
        ("[::1]", [("::1", 53)]),
    ],
)
def test_servers(text: str, servers: list[tuple[str, int]]) -> None:
    assert parse_servers(text) == servers


@pytest.mark.parametrize(
    "text", ["", "dns.test", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:", "1.2.3.4:٥"]
)
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_servers(text)
