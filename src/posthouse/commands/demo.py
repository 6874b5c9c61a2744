"""`posthouse demo`: three small backends and a proxy in front of them, on free loopback ports."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from posthouse.commands import serving
from posthouse.commands.command_line import Command, Given
from posthouse.errors import StartError

NAMES = ("one", "two", "three")
GRACE = "1s"
"""Nobody wants to wait for a demo's streams; --grace says otherwise."""
_PATIENCE_SECONDS = 10.0
_END_SECONDS = 2.0

Child = subprocess.Popen[bytes]


def _act(given: Given) -> int:
    from posthouse.adapt import adapt
    from posthouse.server import sockets

    serving.check(given)
    with _backends() as children:
        ports = [_port_of(child) for child in children]
        # Bound first, so that the Caddyfile shown has the real port and nobody can take it meanwhile.
        listening = sockets.bind_slots(("127.0.0.1", 0), serving.worker_count(given))
        key = ("127.0.0.1", sockets.port_of(listening[0]))
        text = caddyfile(key[1], ports)
        loaded = adapt(text, "demo")
        print(introduction(key[1], ports, [child.pid for child in children], text), flush=True)
        given.options.setdefault("--grace", [GRACE])
        return serving.serve(given, loaded, lambda: None, {key: listening})


def caddyfile(port: int, backends: list[int]) -> str:
    """What the demo's proxy is configured with."""
    to = " ".join(f"127.0.0.1:{backend}" for backend in backends)
    return f"""\
:{port} {{
	bind 127.0.0.1
	log stdout
	proxy / {to} {{
		policy round_robin
		fail_timeout 5s
		try_duration 3s
		transparent
	}}
}}
"""


def introduction(port: int, backends: list[int], pids: list[int], text: str) -> str:
    """What the demo prints: where everything is, the Caddyfile, and what to try."""
    url = f"http://127.0.0.1:{port}"
    lines = ["Posthouse demo", "", f"  the proxy      {url}/"]
    for name, backend, pid in zip(NAMES, backends, pids, strict=True):
        lines.append(f"  backend {name:<6} http://127.0.0.1:{backend}/  (pid {pid})")
    lines += ["", "The Caddyfile that it uses:", ""]
    lines += [f"  {line}" for line in text.expandtabs(4).splitlines()]
    lines += ["", "Try, in another terminal:", ""]
    tries = {
        f"curl {url}/": "again and again: the backends take turns",
        f"curl -N {url}/events": "a stream: each event comes at once",
        f"kill {pids[0]}": "one backend dies, and no request fails",
    }
    width = max(map(len, tries))
    lines += [f"  {command:<{width}}   {what}" for command, what in tries.items()]
    return "\n".join([*lines, "", "Ctrl-C ends the demo.", ""])


@contextmanager
def _backends() -> Iterator[list[Child]]:
    """Three running backends; they are gone afterwards. Raises StartError."""
    children: list[Child] = []
    try:
        children.extend(_start(name) for name in NAMES)
        yield children
    finally:
        for child in children:
            _end(child)


def _start(name: str) -> Child:
    command = [sys.executable, "-m", "posthouse.commands.demo_backend", name]
    try:
        # A session of its own: Ctrl-C is for the proxy, which drains first.
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise StartError(f"cannot start backend {name}: {error.strerror}") from None


def _port_of(child: Child) -> int:
    """The port that a backend printed. Raises StartError when it died instead."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line.strip().isdigit():
        raise StartError(f"a backend of the demo did not start (exit code {child.wait(_PATIENCE_SECONDS)})")
    return int(line)


def _end(child: Child) -> None:
    """End of stdin means end of the backend; one that does not obey is killed."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


COMMAND = Command(
    "demo",
    "serve three small example backends, to see it work",
    _act,
    options=serving.OPTIONS,
)
