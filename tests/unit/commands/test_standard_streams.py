"""Standard descriptors that whoever starts us has closed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

PROGRAM = """
import os, socket, subprocess, sys
from posthouse.commands.standard_streams import occupy
occupy()
ends = socket.socketpair()
print("hello", file=sys.stderr)
look = "import os, sys; print([os.readlink(f'/proc/self/fd/{n}') if n < 3 and os.path.lexists("
look += "f'/proc/self/fd/{n}') else '-' for n in (1, 2)], sys.__stderr__ is None, file=open(sys.argv[1], 'w'))"
subprocess.run([sys.executable, "-c", look, sys.argv[1]])
with open(sys.argv[1], "a") as told:
    print(min(end.fileno() for end in ends) > 2, sys.__stdout__ is None, sys.__stderr__ is None, file=told)
"""


@pytest.mark.parametrize(
    ("closing", "in_a_child", "here"),
    [
        ("2>&-", "['pipe', '/dev/null'] False", "True False False"),
        ("<&- 2>&-", "['pipe', '/dev/null'] False", "True False False"),
        ("", "['pipe', 'pipe'] False", "True False False"),
    ],
)
def test_a_closed_stderr_swallows_what_is_written(
    tmp_path: object, closing: str, in_a_child: str, here: str
) -> None:
    told = f"{tmp_path}/told"
    line = f'exec "$0" -c "$1" "$2" {closing}'
    ran = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, PROGRAM, told], capture_output=True, timeout=60
    )
    assert ran.returncode == 0, ran
    assert ran.stdout == b""
    assert ran.stderr == (b"" if closing else b"hello\n")
    with open(told) as lines:
        assert [re.sub(r"pipe:\[\d+\]", "pipe", one.strip()) for one in lines] == [in_a_child, here]


def test_a_closed_stdout_is_no_socket_and_stays_closed_to_workers(tmp_path: object) -> None:
    told = f"{tmp_path}/told"
    line = 'exec "$0" -c "$1" "$2" >&-'
    ran = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, PROGRAM, told], stderr=subprocess.PIPE, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, b"hello\n")
    with open(told) as lines:
        child, here = lines
    assert here == "True True False\n"
    assert not child.startswith("['/dev/null'")
