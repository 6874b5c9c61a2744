"""Mutated responses, many of them: shown as a second parser reads them, or as 502, or as broken off.

Rules 6 and 7 and topic 2.5 of the specification of reliability. Seeded and bounded; POSTHOUSE_MUTATIONS sets how
many, POSTHOUSE_SEED where it begins.
"""

from __future__ import annotations

import os
import random

import pytest

from kit import BadMessage, Response, Stage, Truncated, chunk, http1, request, response
from kit.mutations import Text, mutate
from kit.tables import POISON

COUNT = int(os.environ.get("POSTHOUSE_MUTATIONS", "1200"))
SEED = int(os.environ.get("POSTHOUSE_SEED", "1"))

CHUNKED = [("Transfer-Encoding", "chunked")]
SEEDS = [
    response(200, [("X-A", "1")], b"some body"),
    response(200, CHUNKED, None) + chunk(b"some", b" body", trailers=[("X-T", "1")]),
    response(204, [("X-A", "1")], None),
    response(304, [("ETag", '"a"')], None),
    response(200, [("Connection", "close")], None) + b"some body",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(200, body=b"some body"),
    response(200, body=b"some body", version="HTTP/1.0"),
]


def read_strictly(data: bytes) -> Response | None:
    """The first final response, if the data begins with one in normal form; its 1xx must be in normal form too."""
    stream = Text(data)
    try:
        while True:
            answer = http1.parse_response_head(http1.read_head(stream))
            if answer.status >= 200:
                break
        if answer.status not in (204, 304):
            if answer.framing == "none":
                http1.read_to_end(stream, answer)
            else:
                http1.read_body(stream, answer)
    except (BadMessage, Truncated):
        return None
    return answer


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_mutations(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(COUNT // 12):
        data = mutate(chance, chance.choice(SEEDS)) + POISON
        stage.answer_bad(data, close=True)
        with stage.client() as client:
            try:
                answer = client.exchange(request("GET", "/bad"))
            except Truncated:
                pass
            else:
                strict = read_strictly(data)
                if answer.status not in (502, 504) and strict is not None:
                    assert (answer.status, answer.body) == (strict.status, strict.body), data
                if answer.framing != "close":
                    stage.assert_next(client)
        assert stage.get("/after").body == b"good /after", data
    assert stage.backend.violations == []
