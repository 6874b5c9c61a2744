"""A backend in a process of its own, to be killed: it writes down what it executes before it answers.

`python recording_backend.py PORT FILE`: each request's method and target become a line of FILE (O_APPEND, so that
what was executed outlives kill -9), then the answer is 200 with the target as body. It prints "ready" when it listens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORK_SECONDS = 0.002
"""How long a request takes: long enough that a kill meets some."""


class Recorder(BaseHTTPRequestHandler):
    """Executes a request by writing it down."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def execute(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        self.rfile.read(length)
        os.write(EXECUTED, f"{self.command} {self.path}\n".encode())
        time.sleep(WORK_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    do_GET = do_POST = execute

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class Server(ThreadingHTTPServer):
    """With a backlog that a load test does not fill."""

    request_queue_size = 256
    daemon_threads = True


EXECUTED = -1


class RecordingBackend:
    """The process, from the test's side: started, killed, started again on the same port."""

    def __init__(self, port: int, record: Path) -> None:
        self.port = port
        self.record = record
        self.address = f"127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self.port), str(self.record)], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None and self.process.stdout.readline() == b"ready\n"

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def executed(self) -> list[str]:
        """Every request that was executed, in order."""
        return self.record.read_text().splitlines() if self.record.exists() else []


if __name__ == "__main__":
    EXECUTED = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with Server(("127.0.0.1", int(sys.argv[1])), Recorder) as server:
        print("ready", flush=True)
        server.serve_forever()
