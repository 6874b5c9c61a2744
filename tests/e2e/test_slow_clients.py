"""What a slow client does is never held against a backend."""

from __future__ import annotations

from collections.abc import Callable

from kit import Posthouse, RawClient, ScriptedBackend, request

CADDYFILE = """
http://:PORT {
    bind 127.0.0.1
    timeouts {
        body 1s
    }
    proxy / BACKEND {
        response_timeout 200ms
        fail_timeout 1m
    }
}
"""


def test_response_timeout_does_not_run_while_the_client_sends(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    """Two stalled uploads: 408 by the client's own limit, and the backend is not left out."""
    posthouse = start_posthouse(CADDYFILE, BACKEND=backend.address)
    port = posthouse.named_port()
    clients = [RawClient(port) for _ in range(2)]
    for client in clients:
        client.send(request("POST", "/", [("Content-Length", "10")]) + b"abc")
    assert [client.read_response().status for client in clients] == [408, 408]
    with RawClient(port) as client:
        assert client.exchange(request("GET", "/")).status == 200
    for client in clients:
        client.close()
    assert "response_timeout" not in posthouse.stderr()


def test_waiting_for_a_backend_is_no_failure_until_it_is_over(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    """One line in the process log for an exchange that found no backend, however often it looked."""
    caddyfile = CADDYFILE.replace("BACKEND {", "127.0.0.1:1 {\n try_duration 1s\n try_interval 50ms\n")
    posthouse = start_posthouse(caddyfile)
    with RawClient(posthouse.named_port()) as client:
        assert client.exchange(request("GET", "/")).status in (502, 503)
    assert posthouse.stderr().count("exchange failed") <= 1
