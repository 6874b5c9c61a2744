"""Asking a Posthouse that runs, over its admin socket."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from posthouse.errors import StartError

SECONDS = 10.0
"""For the whole question; the answer takes milliseconds unless the process is stopped."""


class _Connection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def fetch(path: str, target: str) -> dict[str, Any]:
    """What the process with the socket `path` answers to GET `target`.

    Raises StartError, one line: nobody listens there, it may not be asked, or it answers something else.
    """
    status, body = ask(path, "GET", target)
    if status != 200:
        raise StartError(f"{path} says {status} to {target}")
    return body


def ask(path: str, method: str, target: str, seconds: float = SECONDS) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer. Raises StartError, as `fetch`."""
    connection = _Connection(path, seconds)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except (FileNotFoundError, ConnectionRefusedError):
        raise StartError(f"nobody listens at {path}") from None
    except PermissionError:
        raise StartError(f"{path} may be asked by another user only") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StartError(f"no answer from {path}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if not isinstance(body, dict):
        raise StartError(f"{path} says {answer.status} to {target}")
    return answer.status, body
