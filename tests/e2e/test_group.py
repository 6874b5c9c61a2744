"""What is asked of the whole group: a reload that all workers refuse, numbers that are sums, a limit that is shared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kit import Posthouse, ScriptedBackend, Stage, get
from kit.backend import PATIENCE
from kit.posthouse import free_port

WORKERS = 3
CADDYFILE = """
http://site.test:PORT {
    bind 127.0.0.1
    header / X-Number 0
    proxy / BACKEND
}
http://ops.test:PORT {
    bind 127.0.0.1
    metrics
}
"""
Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def until(is_so: Callable[[], bool], timeout: float = PATIENCE) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole() -> Iterator[Stage]:
    options = ("--admin-listen", f":{free_port()}", "--max-memory", "600MB")
    with Stage(CADDYFILE, workers=WORKERS, arguments=options) as made:
        yield made


@pytest.fixture
def stage(whole: Stage) -> Stage:
    whole.clear()
    until(lambda: len(whole.posthouse.workers()) == WORKERS)
    return whole


def numbers(stage: Stage, count: int = 40) -> set[bytes | None]:
    """What so many new connections are answered, which the kernel spreads over the workers."""
    return {stage.get("/").field("X-Number") for _ in range(count)}


def counters(stage: Stage) -> Counters:
    """All that is counted, asked of whichever worker gets the question; but for what asking itself counts."""
    answer = get(stage.port, "/metrics", host="ops.test")
    assert answer.status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        if family.type in ("counter", "histogram")
        for sample in family.samples
        if "ops.test" not in str(sample.labels)
    }


def answered(found: Counters) -> float:
    """Requests of the site that were answered with 200."""
    return sum(
        value
        for (name, labels), value in found.items()
        if name == "posthouse_exchanges_total" and dict(labels)["status"] == "200"
    )


def reload(stage: Stage, text: str) -> subprocess.CompletedProcess[str]:
    posthouse = stage.posthouse
    posthouse.config.write_text(posthouse._filled_in(text))
    return subprocess.run(
        [sys.executable, "-m", "posthouse", "reload", "--config", str(posthouse.config)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(posthouse.directory)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            "prxy / a\n    stats",
            ["Caddyfile:4:5: unknown directive `prxy`", ":5:5: unknown directive `stats`", "2 mistakes"],
        ),
        ("basicauth / u htpasswd=none", ["Caddyfile:4:5: the password file", "1 mistake"]),
        ("log / none/access.log", ["cannot open", "none/access.log"]),
    ],
    ids=["read", "checked", "built"],
)
def test_what_is_wrong_changes_no_worker_and_is_told(stage: Stage, wrong: str, told: list[str]) -> None:
    before = numbers(stage, 5)
    refused = reload(
        stage, CADDYFILE.replace("X-Number 0", "X-Number 9").replace("header", wrong + "\n    header", 1)
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    for words in told:
        assert words in refused.stderr
    assert numbers(stage) == before


def test_a_reload_is_answered_when_all_workers_serve_it(stage: Stage) -> None:
    done = reload(stage, CADDYFILE.replace("X-Number 0", "X-Number 5"))
    assert done.stdout.startswith("reloaded: generation ") and ", changed 1, " in done.stdout
    assert numbers(stage) == {b"5"}
    assert reload(stage, CADDYFILE).returncode == 0
    assert numbers(stage) == {b"0"}


def test_numbers_are_those_of_all_workers_and_never_fall(stage: Stage) -> None:
    before = counters(stage)
    numbers(stage, 60)
    after = counters(stage)
    assert answered(after) - answered(before) == 60

    posthouse = stage.posthouse
    for victim in posthouse.workers()[:2]:
        os.kill(victim, signal.SIGKILL)
        until(lambda victim=victim: victim not in posthouse.workers() and len(posthouse.workers()) == WORKERS)  # type: ignore[misc]
    replaced = posthouse.stderr().count("worker replaced")
    until(lambda: posthouse.stderr().count("worker replaced") == 2 or replaced > 2)
    now = counters(stage)
    assert answered(now) == answered(after)
    assert not [key for key, value in after.items() if now[key] < value]
    numbers(stage, 30)
    assert answered(counters(stage)) - answered(after) == 30


def test_each_worker_has_a_share_of_the_memory() -> None:
    refused = r"posthouse: --max-memory leaves 20\.0MB for each worker, and one has"
    with pytest.raises(AssertionError, match=refused):
        Stage(CADDYFILE, workers=2, arguments=("--max-memory", "40MB"))


def test_a_replacement_counts_from_its_start(
    start_posthouse: Callable[..., Posthouse], backend: ScriptedBackend
) -> None:
    """No site has `metrics`, and whoever asks elsewhere asks only in the end."""
    port = free_port()
    site = "http://:PORT {\n bind 127.0.0.1\n proxy / BACKEND\n}\n"
    running = start_posthouse(site, BACKEND=backend.address, arguments=("--admin-listen", f":{port}"))
    os.kill(running.worker, signal.SIGKILL)
    running.wait_stderr("worker replaced", timeout=20)
    assert get(running.named_port()).status == 200
    text = get(port, "/metrics").body.decode()
    assert 'status="200",failure=""} 1\n' in text
    assert get(port, "/ready").status == 200
