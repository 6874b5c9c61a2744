"""Request targets: one view for all matchers, and on the wire what came, but never a dot segment."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posthouse.errors import ProtocolError
from posthouse.protocol import target as module
from posthouse.protocol.target import (
    Target,
    Targets,
    cut_prefix,
    encode_path,
    ending,
    has_dot_segments,
    normalise,
    split_authority,
)
from unit.protocol.rows import rows


def parse(raw: bytes) -> Target:
    return Targets().parse(raw)


SPELLINGS = [
    b"/secret/x", b"//secret/x", b"///secret//x", b"/./secret/x", b"/a/../secret/x", b"/../secret/x",
    b"/../../secret/x", b"/a/b/../../secret/x", b"/secret/./x", b"/secret/a/../x", b"/secret//x",
    b"/%73ecret/x", b"/%53ecret/x",
    b"/SECRET/x", b"/Secret/X", b"/%2e/secret/x", b"/%2E/secret/x", b"/a/%2e%2e/secret/x", b"/a/%2E%2e/secret/x",
    b"/a/.%2e/secret/x", b"/a/%2e./secret/x", b"/%2fsecret/x", b"/%2Fsecret%2Fx", b"/%2f%2fsecret/x", b"/secret%2fx",
    b"/a%2f..%2fsecret/x", b"/a%2f%2e%2e%2fsecret%2fx", b"/a/..%2fsecret/x", b"/./././secret/x", b"/.//secret/x",
    b"//./secret/x", b"/a//../secret/x", b"/secret/x?a=/../b", b"http://h/secret/x", b"HTTPS://h:1/a/../SECRET/x",
    b"http://h//secret/x", b"/%73%65%63%72%65%74%2f%78", b"/secret/b/..//x", b"/a/b/c/../../../secret/x",
]  # fmt: skip
"""All of them mean /secret/x to whoever decodes, merges and resolves."""


@pytest.mark.parametrize("raw", SPELLINGS, ids=bytes.decode)
def test_spellings_of_one_path(raw: bytes) -> None:
    target = parse(raw)
    assert target.key == "/secret/x"
    assert not has_dot_segments(unquote_to_bytes(target.wire_path))


UNCHANGED = [
    b"/", b"//", b"/a//b", b"//a", b"/a/", b"/a%2fb", b"/a%2Fb", b"/a%25b", b"/a%252e%252e/b", b"/a;x=1/b", b"/%41",
    b"/a+b", b"/a%20b", b"/~a", b"/a.b", b"/.hidden", b"/..a", b"/a..", b"/...", b"/a/.../b", b"/[x]", b"/%5C..",
    b"/a:b@c",
    b"/%C3%A4", b"/%ff", b"/!$&'()*+,;=", b"/*", b"/%2a", b"/%7e",
]  # fmt: skip


@pytest.mark.parametrize("raw", UNCHANGED, ids=bytes.decode)
@pytest.mark.parametrize("query", [b"", b"?", b"?a=b&c=%zz", b"?/../x", b"??"], ids=bytes.decode)
def test_what_goes_on_as_it_came(raw: bytes, query: bytes) -> None:
    target = parse(raw + query)
    assert (target.raw, target.wire_path, target.query) == (raw + query, raw, query)
    assert not target.is_special


WIRE: dict[str, tuple[bytes, str, bytes]] = {
    "one dot": (b"/a/./b", "/a/b", b"/a/b"),
    "dot at the end": (b"/a/.", "/a/", b"/a/"),
    "two dots": (b"/a/b/../c", "/a/c", b"/a/c"),
    "two dots at the end": (b"/a/b/..", "/a/", b"/a/"),
    "only dots": (b"/..", "/", b"/"),
    "above the root": (b"/../../a", "/a", b"/a"),
    "encoded dots": (b"/a/%2e%2e/b", "/b", b"/b"),
    "dots between encoded slashes": (b"/a%2f..%2fb", "/b", b"/b"),
    "resolved keeps what must be encoded": (b"/x/../a%20b%3Fc%23d%25", "/a b?c#d%", b"/a%20b%3Fc%23d%25"),
    "resolved merges slashes": (b"/x/..//a//b", "/a/b", b"/a/b"),
    "raw bytes are encoded": ("/ä".encode(), "/ä", b"/%C3%A4"),
    "raw quotes and braces are encoded": (b'/"<>\\^`{|}', '/"<>\\^`{|}', b"/%22%3C%3E%5C%5E%60%7B%7C%7D"),
    "brackets are encoded with others": (b"/[\x80]", "/[\udc80]", b"/%5B%80%5D"),
    "escapes stay when others are encoded": (b"/%2f\xff", "/\udcff", b"/%2f%FF"),
    "undecodable bytes": (b"/%ff%fe", "/\udcff\udcfe", b"/%ff%fe"),
    "only one decoding": (b"/%252e%252e/a", "/%2e%2e/a", b"/%252e%252e/a"),
}


@pytest.mark.parametrize(("raw", "path", "wire"), rows(WIRE))
def test_path_and_wire_path(raw: bytes, path: str, wire: bytes) -> None:
    target = parse(raw)
    assert (target.path, target.wire_path) == (path, wire)


REFUSED = [
    *(b"", b"a", b"a/b", b"?", b"?a", b"**"),
    *(b"*?", b"localhost:80", b"ftp://h/", b"http:/h/", b"http//h", b"mailto:a", b"httpx://h/", b"www.example.com/"),
    *(b"/%", b"/%4", b"/%4g", b"/%g4", b"/%%41", b"/%u0041", b"/%00", b"/a%00b", b"/..%00", b"/%0"),
    *(b"/ \x80%", b"/%+1", b"/%-1", b"/%_1"),
    *(b"/#", b"/a#b", b"/?#", b"/a?b#c", b"http://h/#"),
    *(b"/" + bytes([byte]) for byte in (*range(0x21), 0x7F)),
    *(b"/?" + bytes([byte]) for byte in (*range(0x21), 0x7F)),
    *(b"http://h" + bytes([byte]) + b"/" for byte in (0, 9, 10, 13, 32, 127)),
]  # fmt: skip


@pytest.mark.parametrize("raw", REFUSED, ids=repr)
def test_refused(raw: bytes) -> None:
    """At every sight, and never remembered."""
    targets = Targets()
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            targets.parse(raw)
        assert caught.value.status == 400
    assert not targets.memo


ABSOLUTE: dict[str, tuple[bytes, bytes, bytes, bytes]] = {
    "path": (b"http://h:8080/a", b"h:8080", b"/a", b""),
    "no path": (b"http://h", b"h", b"/", b""),
    "query without a path": (b"http://h?a", b"h", b"/", b"?a"),
    "scheme in upper case": (b"HTTP://H/", b"H", b"/", b""),
    "https": (b"https://h/", b"h", b"/", b""),
    "authority to be refused": (b"http://user@h/", b"user@h", b"/", b""),
    "no authority": (b"http:///a", b"", b"/a", b""),
    "slashes after it": (b"http://h//a", b"h", b"//a", b""),
}


@pytest.mark.parametrize(("raw", "authority", "wire", "query"), rows(ABSOLUTE))
def test_absolute_form(raw: bytes, authority: bytes, wire: bytes, query: bytes) -> None:
    target = parse(raw)
    assert (target.authority, target.wire_path, target.query) == (authority, wire, query)
    assert target.is_special and not target.is_asterisk
    assert target.raw == wire + query


def test_asterisk() -> None:
    target = parse(b"*")
    assert target.is_asterisk and target.is_special
    assert target.authority is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "segment", [b"a", b"a.", b".a", b"a/", b"a.b/", b"/", b"%41", b"../"], ids=bytes.decode
)
@pytest.mark.parametrize("end", [b"%41", b"?", b"#", b"\x00", b"."], ids=repr)
def test_time_grows_with_the_length(segment: bytes, end: bytes) -> None:
    """No target takes more than one look at each byte: an expression that backtracks would take days for this."""
    raw = b"/" + segment * (16_000 // len(segment)) + end
    try:
        parse(raw)
    except ProtocolError:
        assert end in (b"#", b"\x00")


def test_letter_case() -> None:
    assert Targets().parse(b"/A%42c").key == "/abc"
    assert Targets(is_case_sensitive=True).parse(b"/A%42c").key == "/ABc"
    assert Targets(is_case_sensitive=True).parse(b"/Abc").key == "/Abc"
    assert Targets().parse("/Ä".encode()).key == "/ä"


def test_memo_learns_at_the_second_sight() -> None:
    targets = Targets()
    targets.parse(b"/a")
    assert not targets.memo
    assert targets.parse(b"/a") is targets.memo[b"/a"]


def test_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Targets, "_MEMO", 4)
    targets = Targets()
    for i in range(50):
        for _ in range(2):
            targets.parse(b"/%d" % i)
        assert len(targets.memo) <= 4


def test_long_targets_are_not_kept() -> None:
    targets = Targets()
    for _ in range(3):
        targets.parse(b"/".ljust(512, b"a"))
        targets.parse(b"/".ljust(513, b"a"))
    assert [len(raw) for raw in targets.memo] == [512]


# -- any target at all

PARTS = st.sampled_from(
    [
        *(b"/", b"/", b"/", b"//", b".", b"..", b"%2e", b"%2E", b"%2f", b"%2F", b"%5c", b"%25", b"%00", b"%", b"%4"),
        *(b"a", b"A", b"b.c", b"?", b"#", b";", b" ", b"\xff", b"%ff", b"\xc3\xa4", b"%c3%a4", b"*", b"http://h", b"["),
    ]
)  # fmt: skip
TARGETS = st.lists(PARTS, max_size=12).map(b"".join)
ON_THE_WIRE = re.compile(rb"/[A-Za-z0-9/\-._~!$&'()*+,;=:@%\[\]]*")


def judge(raw: bytes, targets: Targets) -> tuple[object, ...] | int:
    try:
        target = targets.memo.get(raw) or targets.parse(raw)
    except ProtocolError as error:
        return error.status
    return tuple(getattr(target, slot) for slot in Target.__slots__)


@settings(deadline=None)
@given(
    st.one_of(
        TARGETS, TARGETS.map(lambda rest: b"/" + rest), st.binary(max_size=12).map(lambda rest: b"/" + rest)
    )
)
@example(b"/a%2f..%2f")
def test_any_target(raw: bytes) -> None:
    """400, or: a normal path, a wire path that every reader resolves to it, and both are fixed points."""
    targets = Targets()
    verdict = judge(raw, targets)
    assert judge(raw, targets) == judge(raw, targets) == verdict
    if verdict == 400 or raw == b"*":
        return
    target = parse(raw)
    assert target.path.startswith("/") and "//" not in target.path
    decoded = target.path.encode("utf-8", "surrogateescape")
    assert not has_dot_segments(decoded)
    assert normalise(decoded) == decoded
    assert ON_THE_WIRE.fullmatch(target.wire_path)
    assert not has_dot_segments(unquote_to_bytes(target.wire_path))
    assert target.query == b"" or target.query.startswith(b"?")
    again = parse(target.wire_path + target.query)
    assert (again.path, again.wire_path, again.query) == (target.path, target.wire_path, target.query)


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"/", b"/", b".", b"a", b"\xff", b"%"])).map(b"".join))
def test_normalise(rest: bytes) -> None:
    once = normalise(b"/" + rest)
    assert once.startswith(b"/") and b"//" not in once
    assert not has_dot_segments(once)
    assert normalise(once) == once
    assert normalise(unquote_to_bytes(encode_path(once))) == once


def test_plain_targets_are_judged_like_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick way for plain paths gives what the long way gives."""
    plain = [
        raw
        for raw in (*UNCHANGED, *SPELLINGS, b"/a/b.c/d?e", b"/a.b.c/", b"/_-~!$&'()*+,;=:@")
        if raw[:1] == b"/"
    ]
    quick = [judge(raw, Targets()) for raw in plain]
    assert any(module._PLAIN.fullmatch(raw) for raw in plain)
    monkeypatch.setattr(module, "_PLAIN", re.compile(rb"(?!)"))
    assert [judge(raw, Targets()) for raw in plain] == quick


# -- prefixes that are cut

CUTS: dict[str, tuple[bytes, str, str, bytes]] = {
    "a folder": (b"/app/x", "/app", "/x", b"/x"),
    "with its slash": (b"/app/x", "/app/", "/x", b"/x"),
    "all of it": (b"/app", "/app", "/", b"/"),
    "all but a slash": (b"/app/", "/app", "/", b"/"),
    "inside a segment, as v1": (b"/apple", "/app", "/le", b"/le"),
    "letter case": (b"/APP/X", "/app", "/X", b"/X"),
    "encoded prefix": (b"/%61pp/x", "/app", "/x", b"/x"),
    "encoded slash after it": (b"/app%2Fx", "/app/", "/x", b"/x"),
    "what remains keeps its escapes": (b"/app/a%2Fb%20c", "/app", "/a/b c", b"/a%2Fb%20c"),
    "what remains keeps its escapes, behind an encoded prefix": (b"/%61pp/a%2Fb", "/app", "/a/b", b"/a%2Fb"),
    "slashes before it": (b"//app/x", "/app", "/x", b"/x"),
    "slashes after it": (b"/app//x", "/app", "/x", b"/x"),
    "slashes inside": (b"/a//b/x", "/a/b", "/x", b"/x"),
    "never an authority": (b"/app//evil.example/x", "/app", "/evil.example/x", b"/evil.example/x"),
    "beyond ASCII": ("/ä/x".encode(), "/ä", "/x", b"/x"),
    "beyond ASCII, what remains keeps its escapes": (b"/%C3%A4/a%2Fb", "/ä", "/a/b", b"/a%2Fb"),
    "a new dot segment": (b"/app../x", "/app", "/x", b"/x"),
    "a new dot segment, encoded": (b"/app%2e%2e/x", "/app", "/x", b"/x"),
    "a new dot segment at the end": (b"/app..", "/app", "/", b"/"),
    "a new dot": (b"/app./x", "/app", "/x", b"/x"),
    "a new dot segment, and escapes": (b"/app../x%3Fy", "/app", "/x?y", b"/x%3Fy"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "prefix", "path", "wire"), rows(CUTS))
def test_cut_prefix(raw: bytes, prefix: str, path: str, wire: bytes) -> None:
    targets = Targets()
    assert cut_prefix(targets.parse(raw), prefix, targets) == (path, wire)


def test_cut_prefix_with_letter_case() -> None:
    targets = Targets(is_case_sensitive=True)
    assert cut_prefix(targets.parse(b"/App/X"), "/App", targets) == ("/X", b"/X")


@settings(deadline=None)
@given(TARGETS.map(lambda rest: b"/" + rest), st.integers(1, 8))
@example(b"/a../b", 2)
@example(b"/a%2e%2e/b", 2)
def test_any_cut(raw: bytes, length: int) -> None:
    """Whatever is cut: one slash at the beginning, no dot segment, and path and wire path mean the same."""
    targets = Targets()
    try:
        target = targets.parse(raw)
    except ProtocolError:
        return
    path, wire = cut_prefix(target, target.key[:length], targets)
    assert path.startswith("/") and not path.startswith("//")
    assert wire.startswith(b"/") and not wire.startswith(b"//")
    cut = targets.parse(wire)
    assert (cut.path, cut.wire_path) == (path, wire)


# -- authorities

AUTHORITIES: dict[str, tuple[bytes, tuple[str, str] | None]] = {
    "name": (b"example.com", ("example.com", "")),
    "upper case": (b"EXAMPLE.com", ("example.com", "")),
    "port": (b"example.com:8080", ("example.com", "8080")),
    "empty port": (b"example.com:", ("example.com", "")),
    "highest port": (b"h:65535", ("h", "65535")),
    "port too high": (b"h:65536", None),
    "port of six digits": (b"h:000080", None),
    "IPv4": (b"127.0.0.1:80", ("127.0.0.1", "80")),
    "IPv6": (b"[::1]", ("::1", "")),
    "IPv6 and port": (b"[2001:DB8::1]:443", ("2001:db8::1", "443")),
    "IPv6 without brackets": (b"::1", None),
    "half a bracket": (b"[::1", None),
    "brackets around a name": (b"[example]", None),
    "underscore": (b"my_host", ("my_host", "")),
    "percent": (b"a%41", ("a%41", "")),
    "half an escape": (b"a%4", None),
    "nothing": (b"", None),
    "only a port": (b":80", None),
    "two ports": (b"h:1:2", None),
    "signed port": (b"h:+80", None),
    "blank": (b"a b", None),
    "blank before": (b" a", None),
    "comma": (b"a,b", None),
    "user": (b"user@h", None),
    "slash": (b"h/x", None),
    "backslash": (b"h\\x", None),
    "question mark": (b"h?x", None),
    "hash": (b"h#x", None),
    "NUL": (b"h\x00", None),
    "line break": (b"h\r\nX: 1", None),
    "line break at the end": (b"h\n", None),
    "high byte": (b"h\xff", None),
    "other digits": ("h:٨٠".encode(), None),
}


@pytest.mark.parametrize(("value", "parts"), rows(AUTHORITIES))
def test_split_authority(value: bytes, parts: tuple[str, str] | None) -> None:
    assert split_authority(value) == parts


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a.html", ".html"),
        ("/a.b.HTML", ".html"),
        ("/a.b/c", ""),
        ("/", ""),
        ("/.x", ".x"),
        ("/a.", "."),
        ("/a.b/", ""),
    ],
)
def test_endings(path: str, expected: str) -> None:
    assert ending(path) == expected
