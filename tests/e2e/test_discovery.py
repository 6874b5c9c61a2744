"""Backends that are found while Posthouse runs: SRV, A and AAAA records of a real name server, and a watched file.

"Addresses" of the stance; 2.14 of reliability.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.tls_backends import TLSBackend
from kit import BackendConnection, Posthouse, RawClient, Request, ScriptedBackend, get, response
from kit.backend import PATIENCE
from kit.certificates import server_context, write_authority
from kit.dns_server import DnsServer
from kit.http1 import request
from kit.posthouse import free_port
from posthouse.admin.client import fetch

DNSMASQ = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin")

SITES = """
http://srv.test:PORT { bind 127.0.0.1
    proxy / srv://_http._tcp.web.test
}
http://checked.test:PORT { bind 127.0.0.1
    proxy / srv://checked.test { health_check /health health_check_interval 50ms }
}
http://mixed.test:PORT { bind 127.0.0.1
    proxy / FIRST srv://mixed.test/base { policy round_robin }
}
http://late.test:PORT { bind 127.0.0.1
    proxy / srv://late.test
}
http://names.test:PORT { bind 127.0.0.1
    proxy / dns://app.test:SHARED { policy round_robin }
}
http://file.test:PORT { bind 127.0.0.1
    proxy / file:LIST { policy round_robin }
}
http://plain.test:PORT { bind 127.0.0.1
    proxy / FIRST
}
http://sessions.test:PORT { bind 127.0.0.1
    proxy / srv://sessions.test { policy sticky  max_conns 1  queue 10 10s  unhealthy_status 500  fail_timeout 1h }
}
"""


class Found:
    """Posthouse before three backends that say their number, with a name server and a list of backends."""

    def __init__(self, folder: Path) -> None:
        self.backends = [ScriptedBackend() for _ in range(3)]
        self.dns = DnsServer()
        self.list = folder / "backends"
        self.list.write_text(self.backends[0].address + "\n")
        self.dns.put("_http._tcp.web.test", "SRV", self.record(0))
        self.dns.put("app.test", "A", "127.0.0.1")
        self.dns.put("mixed.test", "SRV", self.record(1))
        self.dns.put("sessions.test", "SRV", self.record(0))
        self.dns.put("checked.test", "SRV", self.record(0, 10), self.record(1, 20))
        for number, backend in enumerate(self.backends):
            backend.on_request = self.saying(number)
        self.posthouse = Posthouse(
            SITES,
            FIRST=self.backends[0].address,
            SHARED=str(self.backends[0].port),
            LIST=str(self.list),
            env={"POSTHOUSE_RESOLVER": self.dns.address, "XDG_DATA_HOME": str(folder)},
        )
        self.port = self.posthouse.named_port()

    def close(self) -> None:
        self.posthouse.stop()
        self.dns.close()
        for backend in self.backends:
            backend.close()

    def record(self, backend: int, priority: int = 0, weight: int = 1) -> str:
        """An SRV record. Its target is an address, so that no other name server is needed."""
        return f"{priority} {weight} {self.backends[backend].port} 127.0.0.1."

    @staticmethod
    def saying(number: int) -> Callable[[Request, BackendConnection], bytes | None]:
        return lambda asked, connection: response(200, body=b"%d" % number)

    def who(self, site: str, path: str = "/") -> str:
        """The number of the backend that answers, or the status of an answer of our own."""
        answer = get(self.port, path, host=site)
        return answer.body.decode() if answer.status == 200 else str(answer.status)

    def source(self, name: str) -> dict[str, object]:
        """What `posthouse status` has of a source."""
        pools = fetch(self.posthouse.admin_socket(), "/status")["pools"]
        (source,) = [one for pool in pools for one in pool["sources"] if one["name"] == name]
        assert isinstance(source, dict)
        return source

    def all_of(self, site: str, times: int = 8) -> set[str]:
        return {self.who(site) for _ in range(times)}

    def until(self, site: str, expected: set[str]) -> None:
        """Wait until requests get to exactly these."""
        deadline = time.monotonic() + PATIENCE
        while (seen := self.all_of(site)) != expected:
            assert time.monotonic() < deadline, f"{site}: {seen} answer, expected {expected}"
            time.sleep(0.05)

    def asked_again(self, name: str) -> None:
        """Wait until the name server was asked for the name once more."""
        count = len([one for one in self.dns.asked if one[0] == name])
        deadline = time.monotonic() + PATIENCE
        while len([one for one in self.dns.asked if one[0] == name]) <= count:
            assert time.monotonic() < deadline, f"nobody asks for {name}"
            time.sleep(0.02)


def read_until(client: RawClient, data: bytes) -> None:
    """Read until these bytes have come."""
    while data not in client.buffer:
        assert client.fill() == "", f"it ended after {bytes(client.buffer)!r}"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    stage = Found(tmp_path_factory.mktemp("found"))
    yield stage
    stage.close()


def test_a_name_that_does_not_resolve_at_start_is_a_warning_and_503(found: Found) -> None:
    """And the other sites are served. Later it is found."""
    assert found.who("late.test") == "503"
    assert found.who("plain.test") == "0"
    line = found.posthouse.wait_stderr(r"WARN discovery failed source=srv://late\.test .*")[0]
    assert re.search(r"place=\S+/Caddyfile:12:13 .*reason=\"there is no such name", line), line
    missing = found.source("srv://late.test")
    assert (missing["state"], missing["members"]) == ("down", 0)
    assert str(missing["trouble"]).startswith("there is no such name") and missing["since"] is not None
    found.dns.put("late.test", "SRV", found.record(2))
    found.until("late.test", {"2"})
    there = found.source("srv://late.test")
    assert (there["state"], there["members"], there["trouble"]) == ("up", 1, None)


def test_a_changed_set_is_applied(found: Found) -> None:
    found.until("srv.test", {"0"})
    found.dns.put("_http._tcp.web.test", "SRV", found.record(1), found.record(2))
    found.until("srv.test", {"1", "2"})
    found.posthouse.wait_stderr(
        r'members changed pool="http://srv\.test:\d+ /" source=srv://_http\._tcp\.web\.test '
        r'came="http://127\.0\.0\.1:\d+, http://127\.0\.0\.1:\d+" gone=http://127\.0\.0\.1:\d+ backends=2'
    )
    found.dns.put("_http._tcp.web.test", "SRV", found.record(0))
    found.until("srv.test", {"0"})
    asked = [one for one in found.backends[0].requests if one.target == b"/"]  # others are health checks
    assert asked[-1].field(b"host") == b"_http._tcp.web.test", "the name as written, as in v1"


def test_the_last_good_answer_is_kept(found: Found) -> None:
    """Also when the zone is emptied: that is not believed at once."""
    found.until("srv.test", {"0"})
    try:
        found.dns.trouble = "SERVFAIL"
        found.asked_again("_http._tcp.web.test")
        assert found.all_of("srv.test") == {"0"}
        found.dns.trouble = ""
        found.dns.put("_http._tcp.web.test", "SRV")
        found.posthouse.wait_stderr(r"discovery failed .*SRV: there is none any more; believed after 30 s")
        assert found.all_of("srv.test") == {"0"}
    finally:
        found.dns.trouble = ""
        found.dns.put("_http._tcp.web.test", "SRV", found.record(0))


def test_the_lowest_priority_that_has_a_usable_member(found: Found) -> None:
    """Each member is checked on its own; v1 could not check what SRV records name."""
    found.until("checked.test", {"0"})
    found.backends[0].on_request = lambda asked, connection: response(500)
    try:
        found.until("checked.test", {"1"})
        found.posthouse.wait_stderr(
            rf'backend down pool="http://checked\.test:\d+ /" upstream=http://127\.0\.0\.1:{found.backends[0].port} '
        )
    finally:
        found.backends[0].on_request = found.saying(0)
    found.until("checked.test", {"0"})


def test_srv_beside_a_backend_that_is_written_down(found: Found) -> None:
    """v1 refused that."""
    found.until("mixed.test", {"0", "1"})
    assert found.backends[1].requests[-1].target.startswith(b"/base/")


def test_every_address_is_a_backend(found: Found) -> None:
    port = found.backends[0].port
    found.until("names.test", {"0"})
    assert found.backends[0].requests[-1].field(b"host") == b"app.test:%d" % port
    with ScriptedBackend(host="127.0.0.2", port=port) as second:
        second.on_request = found.saying(7)
        found.dns.put("app.test", "A", "127.0.0.1", "127.0.0.2")
        found.until("names.test", {"0", "7"})


def test_a_member_that_leaves_finishes_its_exchange(found: Found) -> None:
    def slow(asked: Request, connection: BackendConnection) -> bytes | None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
        return None

    found.until("srv.test", {"0"})
    found.backends[0].on_request = slow
    with RawClient(found.port) as client:
        client.send(request("GET", "/slow", host="srv.test"))
        read_until(client, b"01234")
        found.backends[0].on_request = found.saying(0)
        found.dns.put("_http._tcp.web.test", "SRV", found.record(1))
        found.until("srv.test", {"1"})
        (busy,) = [one for one in found.backends[0].connections if b"/slow" in one.received]
        busy.send(b"56789")
        read_until(client, b"0123456789")
        deadline = time.monotonic() + PATIENCE
        while not busy.ended:
            busy.fill()
            assert time.monotonic() < deadline
    found.dns.put("_http._tcp.web.test", "SRV", found.record(0))
    found.until("srv.test", {"0"})


def test_a_list_in_a_file(found: Found) -> None:
    found.until("file.test", {"0"})
    one, two = found.backends[1].address, found.backends[2].address
    found.list.write_text(f"# now in JSON\n{one}\n{two} weight=2\n")
    found.until("file.test", {"1", "2"})
    found.list.write_text(f'["{two}",\n {{"to": "{one}", "weight": 0}}]')
    found.posthouse.wait_stderr(
        rf"discovery failed source=file:\S+ .*reason=\"{found.list}:2:2: expected a weight .* found 0\" kept=2"
    )
    assert found.all_of("file.test") == {"1", "2"}, "a broken list changes nothing"
    found.list.write_text("[]")
    found.until("file.test", {"503"})


def test_new_members_get_sessions_and_those_who_wait(found: Found) -> None:
    """And a session whose backend has left begins anew, also where the answer is still on its way."""
    let_go = threading.Event()

    def hold(asked: Request, connection: BackendConnection) -> bytes:
        assert let_go.wait(10)
        return response(200, body=b"0")

    found.backends[0].on_request = hold
    try:
        with RawClient(found.port) as first, RawClient(found.port) as second:
            count = len(found.backends[0].requests)
            first.send(request("GET", host="sessions.test"))
            found.backends[0].wait_requests(count + 1)
            second.send(request("GET", host="sessions.test"))
            found.dns.put("sessions.test", "SRV", found.record(1))
            answer = second.read_response()
            assert answer.body == b"1", "waited for one, got another"
            name, _, _ = (answer.field(b"set-cookie") or b"").partition(b";")
            let_go.set()
            answer = first.read_response()
            assert (answer.body, answer.field(b"set-cookie")) == (b"0", None)
    finally:
        let_go.set()
        found.backends[0].on_request = found.saying(0)
    found.dns.put("sessions.test", "SRV", found.record(0), found.record(1))
    found.until("sessions.test", {"0", "1"})
    for _ in range(4):
        answer = get(found.port, fields=[(b"Cookie", name)], host="sessions.test")
        assert (answer.body, answer.field(b"set-cookie")) == (b"1", None)


def test_a_reload_keeps_what_was_found(found: Found) -> None:
    """With the name server gone."""
    found.until("srv.test", {"0"})
    found.dns.trouble = "silent"
    try:
        count = found.posthouse.stderr().count("INFO reloaded")
        found.posthouse.signal(signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE
        while found.posthouse.stderr().count("INFO reloaded") == count:
            assert found.who("srv.test") == "0"
            assert time.monotonic() < deadline
        assert found.all_of("srv.test") == {"0"}
    finally:
        found.dns.trouble = ""


def test_a_resolver_that_is_none_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"POSTHOUSE_RESOLVER is 'dns.test'"):
        Posthouse(
            "http://:PORT {\n bind 127.0.0.1\n proxy / srv://a.test\n}\n",
            env={"POSTHOUSE_RESOLVER": "dns.test"},
        )


def test_members_over_tls_are_who_the_service_is(tmp_path: Path) -> None:
    """The certificate must be for the domain of the service, whatever the name server says where it is."""
    text = """
    http://:PORT { bind 127.0.0.1
        proxy / srv+https://_https._tcp.web.test { ca_certificates CA }
        proxy /names dns+https://web.test:BACKEND { ca_certificates CA }
        proxy /other dns+https://other.test:BACKEND { ca_certificates CA }
    }
    """
    with DnsServer() as dns, TLSBackend(server_context("web.test")) as backend:
        dns.put("_https._tcp.web.test", "SRV", f"0 0 {backend.port} 127.0.0.1.")
        dns.put("web.test", "A", "127.0.0.1")
        dns.put("other.test", "A", "127.0.0.1")
        with Posthouse(
            text,
            CA=write_authority(tmp_path),
            BACKEND=str(backend.port),
            env={"POSTHOUSE_RESOLVER": dns.address},
        ) as posthouse:
            assert [get(posthouse.port, path).status for path in ("/", "/names", "/other")] == [200, 200, 502]
            posthouse.wait_stderr("failure=tls .*hostname mismatch, certificate is for web.test")
            assert backend.requests[0].field(b"host") == b"_https._tcp.web.test"


@pytest.mark.peer
@pytest.mark.skipif(DNSMASQ is None, reason="dnsmasq is not installed")
def test_dnsmasq(tmp_path: Path) -> None:
    port = free_port()
    with ScriptedBackend() as backend:
        dnsmasq = subprocess.Popen(
            [
                *(str(DNSMASQ), "--keep-in-foreground", f"--port={port}", "--listen-address=127.0.0.1"),
                *("--bind-interfaces", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user="),
                *(f"--pid-file={tmp_path}/pid", "--local-ttl=1", "--host-record=node.test,127.0.0.1"),
                f"--srv-host=_http._tcp.web.test,node.test,{backend.port},0,1",
            ]
        )
        try:
            with Posthouse(
                "http://:PORT {\n bind 127.0.0.1\n proxy / srv://_http._tcp.web.test\n}\n",
                env={"POSTHOUSE_RESOLVER": f"127.0.0.1:{port}"},
            ) as posthouse:
                deadline = time.monotonic() + PATIENCE
                while get(posthouse.port).status != 200:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                assert backend.requests[0].field(b"host") == b"_http._tcp.web.test"
        finally:
            os.kill(dnsmasq.pid, signal.SIGTERM)
            dnsmasq.wait(10)
