"""What /metrics says after mixed traffic is exactly what the clients saw; and it survives reloads."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from kit import RawClient, Stage, request, response
from kit.backend import BackendConnection
from kit.http1 import Request, Response

CADDYFILE = """
http://site.test:PORT {
    bind 127.0.0.1
    proxy /api BACKEND
    proxy /dead 127.0.0.1:PORT2
    limits { body /api/small 10 }
    status 410 /gone
}
http://ops.test:PORT {
    bind 127.0.0.1
    metrics { health ready }
    basicauth /metrics scraper hiccup
}
"""
AUTHORIZATION = (b"Authorization", b"Basic c2NyYXBlcjpoaWNjdXA=")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def whole() -> Iterator[Stage]:
    with Stage(CADDYFILE) as made:
        yield made


@pytest.fixture
def stage(whole: Stage) -> Stage:
    whole.clear()
    return whole


def scrape(stage: Stage, accept: bytes = b"text/plain") -> Samples:
    """All samples, read by Prometheus's own parser."""
    answer = stage.get("/metrics", [AUTHORIZATION, (b"Accept", accept)], host="ops.test")
    assert answer.status == 200, answer
    read = read_open if b"openmetrics" in accept else read_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(answer.body.decode())
        for sample in family.samples
    }


def changes(before: Samples, after: Samples) -> Samples:
    """What has risen."""
    return {
        key: value - before.get(key, 0.0) for key, value in after.items() if value != before.get(key, 0.0)
    }


def of(samples: Samples, name: str, *without: str) -> dict[tuple[str, ...], float]:
    """The rows of a family as tuples of their labels, in alphabetical order."""
    return {
        tuple(value for key, value in labels): one
        for (found, labels), one in samples.items()
        if found == name
    }


def test_the_numbers_are_what_the_clients_saw(stage: Stage) -> None:
    def answer(asked: Request, connection: BackendConnection) -> bytes:
        return response(int(asked.target.rsplit(b"/", 1)[1]), body=b"x" * 100)

    stage.backend.on_request = answer
    scrape(stage)
    before = scrape(stage)
    seen: Counter[tuple[str, ...]] = Counter()
    sent = received = 0
    with stage.client() as client:
        for number in range(30):
            method, status = ("GET", "POST", "BREW")[number % 3], (200, 404, 503, 299)[number % 4]
            body = b"b" * number if method == "POST" else b""
            client.send(request(method, f"/api/{status}", body=body, host="site.test"))
            got = client.read_response()
            assert got.status == status
            label = {"BREW": "other"}.get(method, method)
            seen["", label, "/api", "site.test", "2xx" if status == 299 else str(status)] += 1
            sent += len(body)
            received += len(got.body)
        client.send(request("GET", "/dead/x", host="site.test"))
        assert client.read_response().status == 502
        seen["connect", "GET", "/dead", "site.test", "502"] += 1
        for path, status in (("/gone", 410), ("/nothing", 404)):
            client.send(request("GET", path, host="site.test"))
            assert client.read_response().status == status
            seen["", "GET", "(none)", "site.test", str(status)] += 1
    for host in ("one.test", "two.test"):
        assert stage.get("/", host=host).status == 404
        seen["", "GET", "(none)", "(unknown)", "404"] += 1
    with stage.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        assert client.read_response().status == 400
    rose = changes(before, scrape(stage))
    exchanges = of(rose, "posthouse_exchanges_total")
    # The first of the two scrapes had ended when the second one was told.
    assert exchanges.pop(("", "GET", "(none)", "ops.test", "200")) == 1
    assert exchanges == {(f, m, r, site_name(s), c): n for (f, m, r, s, c), n in seen.items()}
