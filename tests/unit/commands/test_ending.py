"""The end of a process, seen from outside: nothing that still waits can hold it up, and all is written."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys, threading, time
from posthouse.commands.ending import end
threading.Thread(target=time.sleep, args=(60,), daemon={daemon}).start()
print("written")
{tracer}
end(3)
"""


@pytest.mark.parametrize("tracer", ["", "sys.setprofile(lambda *_: None)", "sys.settrace(lambda *_: None)"])
def test_it_ends_with_its_code_and_everything_written(tracer: str) -> None:
    # Who traces gets the long way, which waits for threads that are no daemons.
    script = SCRIPT.format(tracer=tracer, daemon=bool(tracer))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"written\n", b"")
