"""`posthouse reload` and --watch with a real process: whoever asks is told what became of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from kit import Posthouse, get
from posthouse.admin.client import ask

SITE = "http://:PORT {\n bind 127.0.0.1\n header / X-Number NUMBER\n status 204 /\n}\n"
Start = Callable[..., Posthouse]


def reload(of: Posthouse, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "posthouse", "reload", "--config", str(of.config), *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(of.directory)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def posthouse(start_posthouse: Start) -> Posthouse:
    """One that also watches its file."""
    made: Posthouse = start_posthouse(SITE.replace("NUMBER", "0"), arguments=("--watch",))
    return made


def write(posthouse: Posthouse, text: str) -> None:
    posthouse.config.write_text(text.replace("PORT", str(posthouse.named_port())))


def number(posthouse: Posthouse) -> bytes | None:
    return get(posthouse.named_port()).field("X-Number")


def test_whoever_asks_is_told(posthouse: Posthouse) -> None:
    write(posthouse, SITE.replace("NUMBER", "1"))
    done = reload(posthouse)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("reloaded: generation ") and ", sites 1, " in done.stdout
    assert number(posthouse) == b"1", "when the answer is there, it serves"
    # Mistakes of the text, then one that only building finds.
    write(posthouse, SITE.replace("NUMBER", "2").replace("status 204 /", "prxy\n stats"))
    refused = reload(posthouse)
    assert (refused.returncode, refused.stdout) == (1, "")
    for line in (4, 5):
        assert f"{posthouse.config}:{line}:2: unknown directive" in refused.stderr
    assert refused.stderr.endswith("posthouse: not reloaded, the old configuration stays: 2 mistakes\n")
    write(posthouse, SITE.replace("NUMBER", "3").replace("status 204 /", "basicauth / u htpasswd=none"))
    refused = reload(posthouse)
    assert refused.returncode == 1
    assert f"{posthouse.config}:4:2: the password file" in refused.stderr and "^" in refused.stderr
    assert number(posthouse) == b"1"
    posthouse.wait_stderr(r" ERROR reload failed, the old configuration stays .*cause=admin")
    socket = next((posthouse.directory / "posthouse").glob("*.sock"))
    status, report = ask(str(socket), "POST", "/reload")
    assert status == 422 and json.dumps(report["mistakes"]).count("password file") >= 1


def test_a_watched_file_is_reloaded_when_it_means_something_else(posthouse: Posthouse) -> None:
    write(posthouse, "# moved\n" + SITE.replace("NUMBER", "4"))
    posthouse.wait_stderr(r" INFO reloaded cause=watch .*changed=1")
    assert number(posthouse) == b"4"


def test_nobody_is_there(posthouse: Posthouse) -> None:
    done = reload(posthouse, "--admin", str(posthouse.directory / "none.sock"))
    assert done.returncode == 1 and "nobody listens at" in done.stderr
