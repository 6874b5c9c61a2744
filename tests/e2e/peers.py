"""Programs of other projects, started for a test and stopped by pid: uvicorn, gunicorn, nginx; curl.

A program that is missing skips the test with the reason, or fails it if POSTHOUSE_REQUIRE_PEERS is 1.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.backend import PATIENCE
from kit.posthouse import free_port

APPLICATION = '''
"""The same small application twice: ASGI with WebSockets, and WSGI."""
import asyncio, hashlib, time

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
    else:
        await http(scope, receive, send)

async def http(scope, receive, send):
    async def start(status=200, *headers):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    async def body(data, more=False):
        await send({"type": "http.response.body", "body": data, "more_body": more})
    path = scope["path"]
    if path == "/stream":
        await start(200, (b"content-type", b"text/event-stream"))
        for number in range(5):
            await body(b"data: %d\\n\\n" % number, True)
            await asyncio.sleep(0.05)
        await body(b"")
    elif path == "/refuse":
        await start(403, (b"content-length", b"2"))
        await body(b"no")
    elif path == "/wait":
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
        print("GONE", flush=True)
    else:
        digest, size = hashlib.sha256(), 0
        while True:
            message = await receive()
            digest.update(message.get("body", b""))
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        fields = dict(scope["headers"])
        text = b"%b %b %d %b %b" % (scope["method"].encode(), scope["raw_path"], size,
                                    digest.hexdigest().encode(), fields.get(b"x-forwarded-for", b"-"))
        await start(200, (b"content-length", b"%d" % len(text)))
        await body(text)

def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return parts()
    if path == "/refuse":
        start_response("403 Forbidden", [("Content-Length", "2")])
        return [b"no"]
    digest, size = hashlib.sha256(), 0
    while data := environ["wsgi.input"].read(65536):
        digest.update(data)
        size += len(data)
    text = "%s %s %d %s %s" % (environ["REQUEST_METHOD"], environ.get("RAW_URI", path), size, digest.hexdigest(),
                               environ.get("HTTP_X_FORWARDED_FOR", "-"))
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]

def parts():
    for number in range(5):
        yield b"data: %d\\n\\n" % number
        time.sleep(0.05)
'''

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
    keepalive_requests 20;
    client_max_body_size 100k;
    gzip on;
    gzip_proxied any;  # requests with Via are not compressed without it
    gzip_types *;
    gzip_min_length 1;
    server {
        listen 127.0.0.1:PORT;
        root FOLDER/files;
        location = /count { add_header X-Connection $connection; return 200 "$request_method $request_uri"; }
        location = /moved { return 301 /elsewhere; }
        location = /none { return 204; }
        location = /put { return 200 "stored"; }
    }
}
"""


def require(name: str) -> str:
    """The program's path, or the module's name; skips or fails without it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None and importlib.util.find_spec(name) is not None:
        found = name
    if found is None:
        reason = f"{name} is not installed (scripts/peers {name})"
        if os.environ.get("POSTHOUSE_REQUIRE_PEERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Peer:
    """A running program that listens on `port`; `output()` is what it has written."""

    def __init__(self, port: int, written: Path, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.pid = process.pid
        self._written = written

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def output(self) -> str:
        return self._written.read_text("utf-8", "replace")


@contextmanager
def running(command: Callable[[int], list[str]], folder: Path) -> Iterator[Peer]:
    """Start on a free port, wait until it listens, stop by pid."""
    port = free_port()
    written = folder / "output"
    with written.open("wb") as output:
        process = subprocess.Popen(command(port), cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None and time.monotonic() < deadline, written.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield Peer(port, written, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def uvicorn(folder: Path) -> Callable[[int], list[str]]:
    """The command of `running` for the application's ASGI half."""
    require("uvicorn")
    (folder / "application.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "uvicorn", "application:asgi", "--log-level", "warning", "--port"]
    return lambda port: [*command, str(port)]


def gunicorn(folder: Path, *options: str) -> Callable[[int], list[str]]:
    """The command of `running` for the application's WSGI half."""
    require("gunicorn")
    (folder / "application.py").write_text(APPLICATION)
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "application:wsgi",
        "--no-control-socket",
        *options,
        "--bind",
    ]
    return lambda port: [*command, f"127.0.0.1:{port}"]


def nginx(folder: Path, tls: str = "") -> Callable[[int], list[str]]:
    """The command of `running` for a server of the files in FOLDER/files.

    tls  lines of its configuration that say with which certificate; "" = plain
    """
    program = require("nginx")
    (folder / "files").mkdir()

    def command(port: int) -> list[str]:
        listen = f"{port} ssl; {tls}" if tls else str(port)
        text = NGINX.replace("FOLDER", str(folder)).replace("PORT;", f"{listen};")
        (folder / "nginx.conf").write_text(text)
        return [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]

    return command
