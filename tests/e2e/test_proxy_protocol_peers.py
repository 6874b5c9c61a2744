"""The PROXY protocol with those who made it: HAProxy in front and behind, nginx behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e import peers
from kit import Posthouse, RawClient, ScriptedBackend, request
from kit.posthouse import free_port

pytestmark = pytest.mark.peer

SEEN = "%[src]:%[src_port] %[dst]:%[dst_port]"
HAPROXY = """
global
    maxconn 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 10s
    timeout server 10s
"""
SENDERS = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "v2_all": "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority",
}
NGINX = """
daemon off;
master_process off;
pid FOLDER/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    server {
        listen 127.0.0.1:PORT proxy_protocol;
        return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port";
    }
}
"""
INTO = """
http://:PORT {
    bind 127.0.0.1
    proxy_protocol 127.0.0.0/8
    proxy / BACKEND {
        header_upstream X-Peer {remote}:{port}
    }
}
"""
OUT_OF = """
http://:PORT {
    bind 127.0.0.1
    proxy /v1 PEER { proxy_protocol v1 health_check / health_check_interval 100ms }
    proxy /v2 PEER { proxy_protocol v2 health_check / health_check_interval 100ms }
}
"""


def haproxy(folder: Path, text: str) -> Callable[[int], list[str]]:
    """The command of `peers.running` for a HAProxy with these sections more, of which one listens on PORT."""
    program = peers.require("haproxy")

    def command(port: int) -> list[str]:
        (folder / "haproxy.cfg").write_text((HAPROXY + text).replace("PORT", str(port)))
        return [program, "-db", "-f", str(folder / "haproxy.cfg")]

    return command


def nginx(folder: Path) -> Callable[[int], list[str]]:
    program = peers.require("nginx")

    def command(port: int) -> list[str]:
        text = NGINX.replace("FOLDER", str(folder)).replace("PORT ", f"{port} ")
        (folder / "nginx.conf").write_text(text)
        return [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]

    return command


# -- in --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, int], Posthouse, ScriptedBackend]]:
    """HAProxy before Posthouse, once for each way of sending: its ports by name."""
    folder = tmp_path_factory.mktemp("haproxy")
    ports = {name: free_port() for name in SENDERS}
    with ScriptedBackend() as backend, Posthouse(INTO, BACKEND=backend.address) as posthouse:
        server = f"127.0.0.1:{posthouse.named_port()}"
        text = "".join(
            f"listen {name}\n    bind 127.0.0.1:{ports[name]}\n    unique-id-format %ci-%cp\n"
            f"    server s {server} {how} check inter 100ms\n"
            for name, how in SENDERS.items()
        )
        text += "listen ready\n    bind 127.0.0.1:PORT\n"
        with peers.running(haproxy(folder, text), folder):
            yield ports, posthouse, backend


@pytest.mark.parametrize("name", SENDERS)
def test_haproxy_introduces(behind: tuple[dict[str, int], Posthouse, ScriptedBackend], name: str) -> None:
    """Its client is ours, on each connection; its checks (LOCAL, or its own address) get through as well."""
    ports, posthouse, backend = behind
    before = len(backend.requests)
    for _ in range(3):
        with RawClient(ports[name]) as client:
            for _ in range(2):
                assert client.exchange(request("GET", f"/{name}")).status == 200
            expected = b"127.0.0.1:%d" % client.local_port
            found = backend.wait_requests(before + 2)[before:]
            assert [asked.all("X-Peer") for asked in found] == [[expected]] * 2
        before += 2
    assert "peer refused" not in posthouse.stderr()


# -- out -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["haproxy", "nginx"])
def before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Posthouse]:
    """Posthouse before a server that answers with what the header told it; without one it answers nothing."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "nginx":
        command = nginx(folder)
    else:
        answer = f'http-request return status 200 content-type text/plain lf-string "{SEEN}"'
        command = haproxy(
            folder, f"frontend f\n    mode http\n    bind 127.0.0.1:PORT accept-proxy\n    {answer}\n"
        )
    with peers.running(command, folder) as peer, Posthouse(OUT_OF, PEER=peer.address) as posthouse:
        yield posthouse


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_backends_learn_who_it_is_for(before: Posthouse, version: str) -> None:
    port = before.named_port()
    for _ in range(3):
        with RawClient(port) as client:
            for _ in range(2):
                answer = client.exchange(request("GET", f"/{version}"))
                expected = b"127.0.0.1:%d 127.0.0.1:%d" % (client.local_port, port)
                assert (answer.status, answer.body) == (200, expected)
    assert "backend down" not in before.stderr()
