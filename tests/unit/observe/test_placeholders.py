"""Templates: which text is a placeholder, and what each placeholder yields."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.observe import placeholders
from posthouse.observe.placeholders import asks_for_body, compile_template
from unit.observe.fake_subject import FakeSubject
from unit.observe.placeholder_rows import LOCAL, ROWS, SUBJECT


def expand(text: str, subject: FakeSubject | None = None, empty: str = "-") -> str:
    return compile_template(text, empty, clock=lambda: 102.5).expand(subject or FakeSubject())


# -- what is a placeholder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{method}", "GET"),
        ("a{method}b{status}c", "aGETb200c"),
        ("{method}{method}", "GETGET"),
        (r"\{method\}", "{method}"),
        (r"\{{method}\}", "{GET}"),
        (r"\\{method}", r"\{method}"),
        ("{method", "{method"),
        ("method}", "method}"),
        (r"{method\}", "{method}"),
        (r"{method\} {status}", "-"),
        ("{}", "-"),
        ("{nonsense}", "-"),
        ("{Method}", "-"),
        ("{>Custom placeholder {>X}", "-"),
        ("{>Custom placeholder {>X}}", "-}"),
        ("{ method }", "-"),
    ],
)
def test_braces(text: str, expected: str) -> None:
    assert expand(text) == expected


def test_what_a_placeholder_yields_is_never_read_again() -> None:
    subject = FakeSubject(fields={b"x": rb"{method} \{ }"})
    assert expand("{>X}", subject) == r"{method} \{ }"


@pytest.mark.parametrize("text", ["", "plain", r"\{a\}", "{", "{hostname}", "a{nonsense}b", "{mitm}"])
def test_what_never_changes_is_known_to_be_constant(text: str) -> None:
    template = compile_template(text, "")
    assert template.is_constant
    assert template.expand(FakeSubject()) == template.expand(FakeSubject(method=b"PUT", status=0))


def test_a_template_introduces_itself() -> None:
    template = compile_template("{method} {nonsense}{>X-A}", "")
    assert not template.is_constant
    assert template.names == ("method", "nonsense", ">X-A")
    assert template.text == "{method} {nonsense}{>X-A}"
    assert repr(template) == "<Template '{method} {nonsense}{>X-A}'>"


@given(st.text(st.sampled_from("{}\\>ax?~<")))
def test_any_text_is_a_template(text: str) -> None:
    template = compile_template(text, "-")
    result = template.expand(FakeSubject())
    if not re.search(r"(?<!\\)\{.*(?<!\\)\}", text, re.DOTALL):
        assert result == text.replace("\\{", "{").replace("\\}", "}")
        assert template.names == ()


# -- what each yields


@pytest.mark.parametrize(("name", "expected", "logged"), ROWS, ids=[row[0] for row in ROWS])
def test_value_in_a_header_rule(name: str, expected: str, logged: str) -> None:
    assert expand("{" + name + "}", SUBJECT, "") == expected
    assert expand("<{" + name + "}>", SUBJECT, "") == f"<{expected}>"
    if logged == "-":
        assert expand("{" + name + "}", SUBJECT) == "-"


def test_every_placeholder_has_a_row() -> None:
    known = {
        *placeholders._CONSTANTS,
        *placeholders._ELAPSED,
        *placeholders._OF_TLS,
        *placeholders._URL_PARTS,
        *placeholders._VALUES,
    }
    rows = {name for name, _, _ in ROWS}
    assert known <= rows | LOCAL
    assert set(placeholders._PREFIXES) <= {name[0] for name in rows}


def test_who_asks_for_the_body_is_known_beforehand() -> None:
    assert asks_for_body("a {method} {request_body}")
    for text in ("", "{request}", r"\{request_body}", "request_body", "{>request_body}"):
        assert not asks_for_body(text), text


def test_a_body_that_was_not_captured_is_the_empty_value() -> None:
    subject = FakeSubject(body=b"")
    assert expand("{request_body}", subject) == "-"
    assert expand("{request_body}", subject, "") == ""


def test_local_times_are_of_the_start() -> None:
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/2026:\d\d:\d\d:00 [+-]\d{4}", expand("{when}"))
    assert re.fullmatch(r"2026-0[12]-\d\dT\d\d:\d\d:00", expand("{when_iso_local}"))


NOTHING = FakeSubject(
    site="",
    method=b"",
    target=b"",
    rewrite_target=b"",
    version=b"",
    host="",
    peer="",
    peer_port=0,
    client_ip="",
    request_id="",
    user="",
    status=0,
    size=0,
    upstream=None,
    attempts=0,
    fields={},
    response_fields={},
)
"""An exchange of which next to nothing is known: the request line could not be read."""


URL_PARTS = "path query uri rewrite_path rewrite_uri file dir path_escaped fragment".split()  # noqa: SIM905
VALUES = (
    "method proto host hostonly label1 remote port client_ip user status upstream failure".split()  # noqa: SIM905
)


def test_parts_of_the_url_and_the_request_id_are_empty_even_in_logs() -> None:
    for name in [
        "path",
        "query",
        "uri",
        "rewrite_path",
        "rewrite_uri",
        "file",
        "dir",
        "request_id",
        "path_escaped",
        "?x",
        "fragment",
    ]:
        assert expand("{" + name + "}", NOTHING) == "", name


def test_the_rest_becomes_the_empty_value() -> None:
    for name in [
        "method",
        "proto",
        "host",
        "hostonly",
        "label1",
        "remote",
        "port",
        "client_ip",
        "user",
        "status",
        "upstream",
        "failure",
    ]:
        assert expand("{" + name + "}", NOTHING) == "-", name
        assert expand("{" + name + "}", NOTHING, empty="") == "", name
    assert expand("{size} {attempts} {retries} {server_port}", NOTHING) == "0 0 0 80"


def test_retries_are_the_attempts_after_the_first() -> None:
    assert expand("{attempts} {retries}", FakeSubject(attempts=3)) == "3 2"


def test_latency_of_a_running_exchange_is_the_time_so_far() -> None:
    assert expand("{latency} {latency_ms}", FakeSubject(finished=0.0)) == "2.5s 2500"


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("a.example", "a.example", "80"),
        ("a.example:81", "a.example", "81"),
        ("a.example:", "a.example", "80"),
        ("[2001:db8::1]:81", "2001:db8::1", "81"),
        ("[2001:db8::1]", "[2001:db8::1]", "80"),
        ("2001:db8::1", "2001:db8::1", "80"),
    ],
)
def test_name_and_port_of_the_host(host: str, name: str, port: str) -> None:
    assert expand("{hostonly} {server_port}", FakeSubject(host=host)) == f"{name} {port}"


def test_the_server_port_of_a_tls_connection_is_443_unless_the_host_says_otherwise() -> None:
    assert expand("{server_port}", FakeSubject(host="a.example", scheme="https")) == "443"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"sid=1", "1"),
        (b"a=b; sid=1; sid=2", "1"),
        (b"a=b;sid=1", "1"),
        (b'sid="quoted"', "quoted"),
        (b'sid="', '"'),
        (b"sid=", ""),
        (b"sid=a=b", "a=b"),
        (b"SID=1", "-"),
        (b"sid", "-"),
        (b"xsid=1", "-"),
    ],
)
def test_cookie(line: bytes, expected: str) -> None:
    assert expand("{~sid}", FakeSubject(fields={b"cookie": line})) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", ""),
        (b"a", ""),
        (b"a=1", "1"),
        (b"b=2&a=1&a=3", "1"),
        (b"%61=1", "1"),
        (b"a=%zz", "%zz"),
        (b"a=x+y%2Bz", "x y+z"),
        (b"a=%C3%A9", "Ã©"),
    ],
)
def test_query_argument(query: bytes, expected: str) -> None:
    assert expand("{?a}", FakeSubject(rewrite_target=b"/?" + query)) == expected


def test_the_whole_request_is_one_line() -> None:
    subject = FakeSubject(target=b"/", fields={b"Host": b"a"})
    assert expand("{request}", subject) == r"GET / HTTP/1.1\r\nHost: a\r\n"


def test_what_comes_out_is_wire_text() -> None:
    """Bytes of the wire go back as they came; our own text becomes its UTF-8 bytes."""
    subject = FakeSubject(
        fields={b"x": bytes(range(0x20, 0x100))},
        upstream="unix:/run/é.sock",
        started=1.0,
        finished=1.0000005,
    )
    subject.finished = subject.started + 50e-6
    assert expand("{>X}", subject).encode("latin-1") == bytes(range(0x20, 0x100))
    assert expand("{upstream}", subject).encode("latin-1").decode("utf-8") == "unix:/run/é.sock"
    assert expand("{latency}", subject).encode("latin-1").decode("utf-8") == "50µs"
    assert expand("{~名}", subject) == "-"


def test_decoding_may_yield_controls_which_the_writer_has_to_judge() -> None:
    subject = FakeSubject(target=b"/a%0d%0aX:%20b", rewrite_target=b"/?q=%0a")
    assert expand("{path}", subject) == "/a\r\nX: b"
    assert expand("{?q}", subject) == "\n"


OTHERS = "request when when_unix_ms ?a >a <a ~a latency size".split()  # noqa: SIM905


@given(st.binary(), st.binary(), st.binary(), st.lists(st.sampled_from([*URL_PARTS, *VALUES, *OTHERS])))
def test_no_request_breaks_a_template(target: bytes, value: bytes, host: bytes, names: list[str]) -> None:
    subject = FakeSubject(
        method=value,
        target=target,
        rewrite_target=target,
        host=host.decode("latin-1"),
        fields={b"a": value, b"cookie": value},
        response_fields={b"a": value},
    )
    template = compile_template("|".join("{" + name + "}" for name in names), "-")
    template.expand(subject).encode("latin-1")
