"""One line for each error."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.observe.error_log import ErrorLog, error_line
from posthouse.observe.placeholders import compile_template
from unit.observe.fake_subject import WALL, FakeSubject


class Lines(list[bytes]):
    def write(self, line: bytes) -> None:
        self.append(line)


def test_the_line() -> None:
    lines = Lines()
    ErrorLog(lines, wall=lambda: WALL).write(502, "/api/items", "http://127.0.0.1:9000: connect: refused")
    when = compile_template("{when}", "").expand(FakeSubject()).encode()
    assert lines == [when + b" [ERROR 502 /api/items] http://127.0.0.1:9000: connect: refused\n"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a b", rb"/a\x20b"),
        ("/a] x", rb"/a\x5D\x20x"),
        ("/é\udcff", rb"/\xC3\xA9\xFF"),
        ("/\n\x1b[2J", rb"/\x0A\x1B[2J"),
        ("", b"-"),
    ],
)
def test_a_path_is_one_word_whatever_it_holds(path: str, shown: bytes) -> None:
    assert error_line(404, path, "x", WALL).endswith(b" [ERROR 404 " + shown + b"] x")


@given(st.text(), st.text())
def test_an_error_is_one_line(path: str, cause: str) -> None:
    path, cause = (text.encode("utf-8", "ignore").decode() for text in (path, cause))
    line = error_line(500, path, cause, WALL)
    assert line.decode("ascii").isprintable()
    assert re.fullmatch(rb"\S+ [+-]\d{4} \[ERROR 500 [^\] ]+\] .*", line)
