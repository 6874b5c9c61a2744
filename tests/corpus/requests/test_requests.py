"""Raw requests with what must come of them: NAME.http is sent as it is, NAME.expect says the rest.

NAME.expect, line by line: `#` why the case is here, and where it comes from; `200 METHOD TARGET ["BODY"]` an answer,
and the request as the backend must have seen it (the body as a JSON string of Latin-1); a status alone (`400`, or
`400|505`) our own refusal; last, `open` or `close`: what becomes of the connection. To add a case, add two files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit import Stage, Truncated, request
from kit.client import RawClient

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.http"))


@dataclass(frozen=True, slots=True)
class Expected:
    """The statuses of each answer, the requests that reach the backend, and whether the connection lives on."""

    answers: list[set[int]]
    requests: list[tuple[bytes, bytes, bytes]]
    is_kept: bool


def read_expected(path: Path) -> Expected:
    answers: list[set[int]] = []
    requests: list[tuple[bytes, bytes, bytes]] = []
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    for line in lines[:-1]:
        statuses, *rest = line.split(" ", 3)
        answers.append({int(status) for status in statuses.split("|")})
        if rest:
            method, target, *body = rest
            decoded = json.loads(body[0]) if body else ""
            requests.append((method.encode(), target.encode(), decoded.encode("latin-1")))
    assert lines[-1] in ("open", "close"), f"{path.name}: the last line says open or close"
    return Expected(answers, requests, lines[-1] == "open")


def assert_end(client: RawClient, is_kept: bool) -> None:
    """Kept: the next request is answered. Closed: nothing more comes."""
    if not is_kept:
        assert client.end() in ("fin", "rst")
        assert client.buffer == b""
        return
    try:
        assert client.exchange(request("GET", "/kept")).status == 200
    except Truncated as ended:
        pytest.fail(f"the connection was not kept: {ended}")


@pytest.mark.parametrize("pieces", [0, 1, 7], ids=["whole", "1-byte", "7-bytes"])
@pytest.mark.parametrize("name", NAMES)
def test_request(stage: Stage, name: str, pieces: int) -> None:
    data = (FOLDER / f"{name}.http").read_bytes()
    expected = read_expected(FOLDER / f"{name}.expect")
    with stage.client() as client:
        if pieces:
            client.send_pieces(data, pieces)
        else:
            client.send(data)
        for statuses in expected.answers:
            assert client.read_response().status in statuses
        assert_end(client, expected.is_kept)
    seen = [(asked.method, asked.target, asked.body) for asked in stage.backend.requests]
    assert seen[: len(expected.requests)] == expected.requests
    assert all(target == b"/kept" for _, target, _ in seen[len(expected.requests) :])
    assert stage.backend.violations == []


def test_every_case_is_whole() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.expect")) == NAMES
