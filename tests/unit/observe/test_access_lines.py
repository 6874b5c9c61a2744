"""The lines of all formats, under hostile values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.errors import FailureKind
from posthouse.observe import access_lines
from posthouse.observe.access_lines import compile_line, escaped
from posthouse.observe.placeholders import compile_template
from unit.observe.fake_subject import FakeSubject
from unit.observe.placeholder_rows import ROWS, SUBJECT

COMMON = '{remote} - {user} [{when}] "{method} {uri} {proto}" {status} {size}'
COMBINED = COMMON + ' "{>Referer}" "{>User-Agent}"'
COMBINED_LINE = re.compile(
    rb'(\S+) - (\S+) \[([^]" ]+ [+-]\d{4})\] "(\S+) (\S+) (\S+)" (\d+) (\d+)(?: "([^"]*)" "([^"]*)")?\n'
)
"""What a plain parser of such logs expects; it knows nothing of escaping."""

KEYS = (
    "ts site peer client_ip method host uri proto status size latency_ms upstream attempts failure "
    "request_id referer user_agent"
)

common, combined, json_line = compile_line("common"), compile_line("combined"), compile_line("json")


def read(line: bytes) -> re.Match[bytes]:
    """The line as that parser sees it."""
    found = COMBINED_LINE.fullmatch(line)
    assert found, line
    return found


def unescape(value: bytes) -> bytes:
    """The value that an escaped one came from."""
    return re.sub(rb"\\x([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), value)


# -- common and combined


def test_common() -> None:
    when = compile_template("{when}", "-").expand(FakeSubject())
    line = f'192.0.2.7 - ann [{when}] "GET /shop/a%20b/c.html?x=1&y=a+b%21&x=2 HTTP/1.1" 200 1234\n'
    assert common(FakeSubject()).decode() == line


def test_combined() -> None:
    tail = b' "http://a.example/" "curl/8.5.0"\n'
    assert combined(FakeSubject()) == common(FakeSubject())[:-1] + tail


@pytest.mark.parametrize(("line", "template"), [(common, COMMON), (combined, COMBINED)])
def test_they_say_what_their_templates_say(line: Callable[[FakeSubject], bytes], template: str) -> None:
    for subject in (FakeSubject(), FakeSubject(user="", fields={}), FakeSubject(status=502, size=0)):
        assert line(subject).decode() == compile_template(template, "-").expand(subject) + "\n"


def test_what_is_missing_is_a_dash() -> None:
    subject = FakeSubject(
        peer="", user="", method=b"", target=b"", version=b"", status=400, size=0, fields={}
    )
    assert re.fullmatch(rb'- - - \[.*\] "- - -" 400 0 "-" "-"\n', combined(subject))
    assert combined(FakeSubject(fields={b"user-agent": b"", b"referer": b""})).endswith(b' "" ""\n')


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'a" 200 0 "', rb"a\x22 200 0 \x22"),
        (b"a\\", rb"a\x5C"),
        (b"a\r\nb", rb"a\x0D\x0Ab"),
        (b"\x00\x1b[2J\x7f", rb"\x00\x1B[2J\x7F"),
        (b"\xc3\xa9", rb"\xC3\xA9"),
    ],
)
def test_a_hostile_user_agent_does_not_break_the_format(value: bytes, shown: bytes) -> None:
    line = combined(FakeSubject(fields={b"user-agent": value}))
    assert line.endswith(b' "-" "' + shown + b'"\n')
    read(line)


def test_a_blank_in_a_column_does_not_make_two_of_it() -> None:
    found = read(common(FakeSubject(user="ann lee", target=b"/a b")))
    assert (found[2], found[5]) == (rb"ann\x20lee", rb"/a\x20b")


def test_hostile_values_that_make_up_for_each_other_are_still_seen() -> None:
    """The rest that is looked at must not be put together by the values themselves."""
    found = read(common(FakeSubject(peer="", user=" ", method=b"", target=b" ")))
    assert (found[2], found[5]) == (rb"\x20", rb"\x20")


HOSTILE_TEXT = st.text(st.sampled_from('a" \\\r\n]é\ud800\x00名'))


@given(st.binary(), st.binary(), st.binary(), st.none() | st.binary(), HOSTILE_TEXT, st.integers(0, 1 << 62))
def test_one_exchange_is_one_line_that_a_plain_parser_reads(
    method: bytes, target: bytes, referer: bytes, agent: bytes | None, user: str, size: int
) -> None:
    fields = {b"referer": referer} if agent is None else {b"referer": referer, b"user-agent": agent}
    subject = FakeSubject(method=method, target=target, version=target, user=user, size=size, fields=fields)
    for line in (common(subject), combined(subject)):
        found = read(line)
        assert line[:-1].decode("ascii").isprintable()
        assert unescape(found[4]) == method or (method, found[4]) == (b"", b"-")
        assert unescape(found[5]) == target or (target, found[5]) == (b"", b"-")
        assert int(found[8]) == size
    assert unescape(found[9]) == referer
    assert unescape(found[10]) == agent or (agent, found[10]) == (None, b"-")


# -- json


def test_json() -> None:
    line = json_line(FakeSubject(failure=FailureKind.RESET))
    assert line.endswith(b"}\n")
    values = json.loads(line)
    assert list(values) == KEYS.split()
    assert values == {
        "ts": "2026-01-31T12:00:00.123Z",
        "site": "www.example.org",
        "peer": "192.0.2.7",
        "client_ip": "198.51.100.1",
        "method": "GET",
        "host": "www.Example.org:8080",
        "uri": "/shop/a%20b/c.html?x=1&y=a+b%21&x=2",
        "proto": "HTTP/1.1",
        "status": 200,
        "size": 1234,
        "latency_ms": 12,
        "upstream": "http://127.0.0.1:9000",
        "attempts": 1,
        "failure": "reset",
        "request_id": "0f0e0d0c-0b0a-0908-0706-050403020100",
        "referer": "http://a.example/",
        "user_agent": "curl/8.5.0",
    }


def test_absent_is_null_and_numbers_are_numbers() -> None:
    nothing = FakeSubject(
        site="",
        method=b"",
        target=b"",
        version=b"",
        host="",
        peer="",
        client_ip="",
        request_id="",
        status=0,
        size=0,
        upstream=None,
        attempts=0,
        finished=0.0,
        fields={},
    )
    values = json.loads(json_line(nothing))
    numbers = {"size": 0, "attempts": 0}
    assert values == {**dict.fromkeys(KEYS.split()), "ts": values["ts"], **numbers}


def test_an_empty_field_is_not_an_absent_one() -> None:
    values = json.loads(json_line(FakeSubject(fields={b"user-agent": b""})))
    assert (values["referer"], values["user_agent"]) == (None, "")


@given(st.binary(), st.binary(), st.binary(), HOSTILE_TEXT, st.floats(0, 4e9), st.floats(0, 1e7))
def test_any_bytes_make_one_line_of_valid_json(
    method: bytes, target: bytes, agent: bytes, text: str, wall: float, took: float
) -> None:
    subject = FakeSubject(
        method=method,
        target=target,
        version=agent,
        host=text,
        site=text,
        upstream=text,
        request_id=text,
        wall=wall,
        finished=100.0 + took,
        fields={b"user-agent": agent, b"referer": target},
    )
    line = json_line(subject)
    assert line.count(b"\n") == 1
    assert line.isascii()
    values = json.loads(line)
    assert list(values) == KEYS.split()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", values["ts"])
    assert (values["method"] or "").encode("latin-1") == method
    assert (values["uri"] or "").encode("latin-1") == target
    assert values["user_agent"].encode("latin-1") == agent
    assert (values["host"] or "", values["site"] or "", values["upstream"] or "") == (text, text, text)
    assert isinstance(values["latency_ms"], int)


# -- formats of the user's own


def line_of(format: str, **values: Any) -> str:
    return compile_line(format)(FakeSubject(**values)).decode("latin-1")


@pytest.mark.parametrize(("name", "header", "logged"), ROWS, ids=[row[0] for row in ROWS])
def test_value_in_a_line(name: str, header: str, logged: str) -> None:
    assert compile_line("{" + name + "}")(SUBJECT).decode() == logged + "\n"
    assert compile_line("{status} <{" + name + "}> {size}")(SUBJECT).decode() == f"200 <{logged}> 1234\n"


@pytest.mark.parametrize(("form", "template"), [("{common}", COMMON), ("{combined}", COMBINED)])
def test_the_two_formats_as_parts_of_another(form: str, template: str) -> None:
    for subject in (FakeSubject(), FakeSubject(user="", fields={}), FakeSubject(fields={b"referer": b'"'})):
        whole = compile_line(template)(subject)
        assert compile_line(form + " {latency_ms}")(subject) == whole[:-1] + b" 12\n"
        assert compile_line("{status}|" + form + "|" + form)(subject) == b"200|%b|%b\n" % (
            whole[:-1],
            whole[:-1],
        )


def test_spelled_out_it_is_the_same_line() -> None:
    for subject in (FakeSubject(user="ann lee"), FakeSubject(fields={b"user-agent": b'\xff"\\\n'})):
        assert compile_line(COMMON)(subject) == common(subject)
        assert compile_line(COMBINED)(subject) == combined(subject)


def test_text_of_the_format_is_written_as_it_is() -> None:
    assert line_of('"{method}"\té {status}').encode("latin-1") == '"GET"\té 200\n'.encode()
    assert line_of(r"\{method\} {method}") == "{method} GET\n"
    assert line_of("{method") == "{method\n"


def test_escaped_braces_are_no_format() -> None:
    assert line_of(r"\{common\} {method}") == "{common} GET\n"


def test_crs_and_lfs_of_a_body_can_be_told_from_what_was_sent() -> None:
    assert line_of("{request_body}", body=b"\\r\r\\n\n\x00") == "\\x5Cr\\r\\x5Cn\\n\\x00\n"


@given(st.binary(), st.binary(), HOSTILE_TEXT, st.booleans())
def test_one_exchange_is_one_line_in_any_format(value: bytes, body: bytes, user: str, is_mixed: bool) -> None:
    form = "{common} " if is_mixed else ""
    subject = FakeSubject(user=user, fields={b"x": value}, body=body, method=value)
    line = compile_line(form + '{user} "{>X}" {method} "{request_body}" {request}')(subject)
    assert line.endswith(b"\n") and line[:-1].decode("ascii").isprintable()
    rest = line[len(common(subject)) :] if is_mixed else line
    found = re.fullmatch(rb'(\S+) "([^"]*)" [^"]* "([^"]*)" .*\n', rest)
    assert found
    assert unescape(found[2]) == value
    shown = found[3].replace(rb"\r", b"\r").replace(rb"\n", b"\n")
    assert unescape(shown) == (body or b"-")


@given(st.binary())
def test_both_ways_of_escaping_say_the_same(value: bytes) -> None:
    assert escaped(value) == b"".join(access_lines._ESCAPED[byte] for byte in value)


def test_hostile_values_in_a_format_cannot_make_up_for_each_other() -> None:
    assert line_of("'{>A}' '{>B}'", fields={b"a": b'"', b"b": b""}) == "'\\x22' ''\n"
