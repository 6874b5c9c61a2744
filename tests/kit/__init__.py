"""The test kit: everything a black-box test of Posthouse needs, on loopback, standard library only.

A test is a conversation between three parties, side by side in one file:

    from kit import Posthouse, RawClient, ScriptedBackend, get, request, response

    CADDYFILE = "http://127.0.0.1:0 {\\n proxy / BACKEND\\n}"

    def test_answer_passes() -> None:
        with (
            ScriptedBackend() as backend,                     # answers every request with 200 "ok"
            Posthouse(CADDYFILE, BACKEND=backend.address) as posthouse,  # ready; stopped by pid at the end
            RawClient(posthouse.port) as client,
        ):
            backend.on_request = lambda asked, connection: response(200, body=b"hello")
            client.send(request("GET", "/x", host="127.0.0.1"))
            assert client.read_response().body == b"hello"
            assert client.is_open()
            assert backend.requests[0].target == b"/x"
            assert backend.violations == []                   # nothing but normal-form requests arrived

Posthouse
    The program as a subprocess. Words in capitals given as keyword arguments are replaced in the Caddyfile;
    PORT (also PORT2, PORT3 ...) becomes a free port. `.port`, `.pid`, `.stderr()`, `.wait_stderr(regex)`,
    `.stdout()`, `.access_log()`, `.wait_access(count)`, `.memory()`, `.reload(caddyfile)`, `.signal(n)`,
    `.wait()`, `.stop()`. Its working directory is `.directory`, so a bare `log` line writes
    `.directory/access.log`, which is what `.access_log()` reads.
ScriptedBackend
    A threaded raw-socket server. `on_request(request, connection)` is asked for every request, on new and on
    kept connections alike, and returns the bytes to send (or None: it has sent or closed by itself).
    `on_connect(connection)` takes over a whole connection instead. `.requests` (parsed strictly),
    `.connections` (with `.received`: every byte), `.violations` (what was no normal-form request),
    `.wait_requests(count)`, `.clear()` (for a shared one: forget and start anew). Before a test breaks something
    off, it waits for what it asserts on: `.wait_heads(count)`, `.wait_head(target)`, a connection's
    `.wait_received(bytes)`; `.wait_connections(count)` says nothing of what was read.
RawClient
    A socket that sends exactly the bytes given and parses responses strictly: `.send`, `.send_pieces`,
    `.exchange`, `.read_response(method)`, `.read_until_end()`, `.end()` ("fin" | "rst" | "open"),
    `.is_open()`, `.finish_sending()`, `.reset()`. A response that ends early raises Truncated
    (`.how` = "fin" | "rst", `.partial`), one that is not in normal form BadMessage.
Stage
    One backend and one Posthouse in front of it for a whole module: `.client()`, `.get()`,
    `.assert_refused(data)`, `.assert_serves()`. The fixture `stage` gives it, cleared, to each test; a module
    that writes a constant CADDYFILE gets that instead of one catch-all route.
kit.tables, kit.mutations
    SMUGGLED and POISON, odd bytes, `named` rows for parametrize; seeded mutations of messages.
wait_still(count)
    waits until a number that others change has stayed the same for a while: the stop of a flow.
request, response, chunk
    build messages; get() is one request on a connection of its own.

Nothing here sleeps to be sure: every wait ends at the event it waits for, or fails after a timeout.
"""

from kit.backend import BackendConnection, ScriptedBackend
from kit.client import RawClient, get
from kit.http1 import BadMessage, Request, Response, Truncated, chunk, request, response
from kit.posthouse import Posthouse, free_port, workers_of
from kit.stage import Stage, wait_still

__all__ = [
    "BackendConnection",
    "BadMessage",
    "Posthouse",
    "RawClient",
    "Request",
    "Response",
    "ScriptedBackend",
    "Stage",
    "Truncated",
    "chunk",
    "free_port",
    "workers_of",
    "get",
    "request",
    "response",
    "wait_still",
]
