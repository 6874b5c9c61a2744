"""Header rules: what they come to, whatever the order, and whatever a value expands to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.specs import HeaderRule
from posthouse.observe.record import Subject
from posthouse.protocol.fields import PROTECTED_NAMES, Field
from posthouse.proxy.rewrite import NO_RULES, HeaderProgram, as_wire_text, field_line
from unit.observe.fake_subject import FakeSubject
from unit.proxy.samples import rules

CAME = [Field(b"X-A", b"came"), Field(b"X-B", b"came"), Field(b"x-a", b"again"), Field(b"Y", b"came")]


def subject(**fields: str) -> Subject:
    values = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in fields.items()}
    return FakeSubject(fields=values)


def apply(*lines: str, of: Subject | None = None) -> list[str]:
    """The lines that go on."""
    made = HeaderProgram(rules(*lines)).apply(CAME, of or subject())
    return [line.decode("latin-1").removesuffix("\r\n") for line in made if line]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ["X-A: came", "X-B: came", "x-a: again", "Y: came"]),
        (["X-A v"], ["X-B: came", "Y: came", "X-A: v"]),
        (["+X-A v"], ["X-A: came", "X-B: came", "x-a: again", "Y: came", "X-A: v"]),
        (["-X-A"], ["X-B: came", "Y: came"]),
        (["-x-a"], ["X-B: came", "Y: came"]),
        (["-X-*"], ["Y: came"]),
        (["-*-a"], ["X-B: came", "Y: came"]),
        (["-*"], []),
        (["-Z", "-Z*"], ["X-A: came", "X-B: came", "x-a: again", "Y: came"]),
        (["X-New v"], ["X-A: came", "X-B: came", "x-a: again", "Y: came", "X-New: v"]),
    ],
)
def test_one_rule(lines: list[str], expected: list[str]) -> None:
    assert apply(*lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["X-A 1", "X-A 2"], ["X-A: 2"]),
        (["X-A 1", "+X-A 2"], ["X-A: 1", "X-A: 2"]),
        (["+X-A 1", "X-A 2"], ["X-A: 2"]),
        (["X-A 1", "-X-A"], []),
        (["-X-A", "X-A 1"], ["X-A: 1"]),
        (["-X-A", "+X-A 1", "+X-A 2"], ["X-A: 1", "X-A: 2"]),
        (["+X-A 1", "-X-*", "+X-A 2"], ["X-A: 2"]),
        (["-X-*", "X-A 1"], ["X-A: 1"]),
        (["X-A 1", "-X-*"], []),
        (["X-A 1", "-Y*"], ["X-A: 1"]),
        (["x-a 1", "+X-A 2"], ["x-a: 1", "X-A: 2"]),
    ],
)
def test_rules_act_in_the_order_of_the_file(lines: list[str], expected: list[str]) -> None:
    """v1 let a hash map decide."""
    assert [
        line for line in apply(*lines) if line.lower().startswith("x-a") and "a: came" not in line
    ] == expected


def test_what_is_written_comes_after_what_stays_in_the_order_of_names() -> None:
    assert apply("B 1", "A 1", "+B 2")[4:] == ["B: 1", "B: 2", "A: 1"]


# -- values --------------------------------------------------------------------------------------------------------


def test_placeholders() -> None:
    assert apply("X-A {>Who} at {host}", of=subject(who="ann"))[-1] == "X-A: ann at www.Example.org:8080"


def test_set_to_nothing_removes() -> None:
    """In v1 the client's own value passed then: a forged X-User."""
    assert apply("X-A {>Absent}") == ["X-B: came", "Y: came"]


def test_add_of_nothing_adds_nothing() -> None:
    assert apply("+X-A {>Absent}") == apply()


@pytest.mark.parametrize(
    "value", ["a\r\nEvil: 1", "a\nb", "a\rb", "a\0b", "\x01", "a\x7f", "a\x0bb"], ids=repr
)
def test_values_that_would_be_more_than_a_value_are_dropped(value: str) -> None:
    assert apply("X-A {>Who}", of=subject(who=value)) == ["X-B: came", "Y: came"]
    assert apply("+X-A {>Who}", of=subject(who=value)) == apply()
    assert field_line(b"X-A", value) == b""


def test_a_line_break_in_an_escape_is_not_let_through_by_a_placeholder() -> None:
    evil = FakeSubject(target=b"/a%0d%0aEvil:%201?q=%0a", rewrite_target=b"/a%0d%0aEvil:%201?q=%0a")
    assert apply("X-P {path}", "X-Q {?q}", "X-U {uri}", of=evil)[4:] == ["X-U: /a%0d%0aEvil:%201?q=%0a"]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a\tb", b"N: a\tb\r\n"),
        (" a ", b"N: a\r\n"),
        (" \t ", b""),
        ("\xe4\xff\x85\xa0", b"N: \xe4\xff\x85\xa0\r\n"),
        ("€", b"N: \xe2\x82\xac\r\n"),
        ("\udcff€", b"N: \xff\xe2\x82\xac\r\n"),
        ("", b""),
    ],
)
def test_field_lines(value: str, line: bytes) -> None:
    assert field_line(b"N", value) == line


def test_text_of_the_configuration_goes_out_as_utf_8() -> None:
    assert as_wire_text("ä€").encode("latin-1") == "ä€".encode()
    (*_, line) = HeaderProgram(rules("X-A ä€{>Who}")).apply([], subject(who="\xff"))
    assert line == "X-A: ä€".encode() + b"\xff\r\n"


@given(st.text(max_size=12), st.binary(max_size=12), st.binary(max_size=12))
def test_whatever_comes_a_rule_makes_one_line_or_none(text: str, field: bytes, target: bytes) -> None:
    text = text.replace("{", "").replace("\\", "").encode("utf-8", "replace").decode()
    of = FakeSubject(target=b"/" + target, rewrite_target=b"/" + target, fields={b"who": field})
    program = HeaderProgram([HeaderRule("set", "N", text + "{>Who}{path}{?q}{uri}")])
    (line,) = program.apply([], of)
    if line:
        assert line.startswith(b"N: ") and line.endswith(b"\r\n")
        assert not set(line[:-2]) & set(b"\r\n\0")


# -- what rules have no say over -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(name.decode() for name in PROTECTED_NAMES))
@pytest.mark.parametrize("sign", ["", "+", "-"])
def test_framing_and_hop_by_hop_names_are_protected(name: str, sign: str) -> None:
    program = HeaderProgram(rules(f"{sign}{name.title()} evil"))
    assert program.is_empty and program.apply(CAME, subject()) == [field.wire for field in CAME]


def test_host_is_not_a_field_here_but_the_authority() -> None:
    program = HeaderProgram(rules("Host {>X-H}.test"))
    assert program.has_host and program.host(b"to", subject(x_h="a")) == b"a.test"
    assert program.is_empty, "nothing is left for the fields"
    assert HeaderProgram(rules("Host a", "Host b")).has_host


@pytest.mark.parametrize("lines", [["-Host"], ["Host a", "-Host"], ["Host a", "-H*"], []])
def test_removing_host_has_no_effect(lines: list[str]) -> None:
    assert not HeaderProgram(rules(*lines)).has_host


def test_the_last_host_rule_counts() -> None:
    assert HeaderProgram(rules("Host a", "host b")).host(b"to", subject()) == b"b"


# -- what those who ask may know -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "touches"),
    [
        ("X-Forwarded-For 1", True),
        ("-X-Forwarded-Prefix", True),
        ("X-Real-IP 1", True),
        ("-Forwarded", True),
        ("-Via", True),
        ("-X-*", True),
        ("+X-Forwarded-For 1", False),
        ("X-A 1", False),
    ],
)
def test_rules_for_the_fields_that_we_write_ourselves(line: str, touches: bool) -> None:
    """To add to them needs no look at ours; to replace or remove them does."""
    assert HeaderProgram(rules(line)).touches_ours is touches


@pytest.mark.parametrize(
    ("lines", "writes", "drops"),
    [
        (["Authorization x"], True, True),
        (["+Authorization x"], True, False),
        (["-Authorization"], False, True),
        (["Authorization x", "-Authorization"], False, True),
        (["-Auth*"], False, True),
        (["-*tion"], False, True),
        (["X-A 1"], False, False),
    ],
)
def test_what_happens_to_a_name(lines: list[str], writes: bool, drops: bool) -> None:
    program = HeaderProgram(rules(*lines))
    assert program.writes_authorization is writes
    assert program.drops(b"authorization") is drops


def test_no_rules() -> None:
    assert NO_RULES.is_empty and not NO_RULES.has_host and not NO_RULES.touches_ours
    assert NO_RULES.apply(CAME, subject()) == [field.wire for field in CAME]
    assert not HeaderProgram(rules("-X-*")).is_empty


RULE = st.builds(
    lambda op, name, value: HeaderRule(op, name, "" if op == "remove" else value),
    st.sampled_from(["set", "add", "remove"]),
    st.sampled_from(["X-A", "x-a", "X-B", "Y"]),
    st.sampled_from(["1", "2", "{>Absent}"]),
) | st.builds(lambda name: HeaderRule("remove", name), st.sampled_from(["X-*", "*a", "*"]))


@given(st.lists(RULE, max_size=6))
def test_the_fold_is_what_one_rule_after_the_other_would_do(given_rules: list[HeaderRule]) -> None:
    """The same as a plain loop over the rules, but for the order of lines with different names."""
    lines = [(field.lower, field.value) for field in CAME]
    for rule in given_rules:
        name = rule.name.lower().encode()
        if rule.op != "add":
            prefix, star, suffix = name.partition(b"*")
            lines = [
                line
                for line in lines
                if not (line[0].startswith(prefix) and line[0].endswith(suffix) if star else line[0] == name)
            ]
        if rule.op != "remove" and "{" not in rule.value:
            lines.append((name, rule.value.encode()))
    made = HeaderProgram(given_rules).apply(CAME, subject())
    got = [(line.split(b": ")[0].lower(), line[:-2].split(b": ")[1]) for line in made if line]
    for name in {b"x-a", b"x-b", b"y"}:
        assert [value for one, value in got if one == name] == [value for one, value in lines if one == name]


# -- regular expressions -------------------------------------------------------------------------------------------


def rewrite(name: str, pattern: str, replacement: str) -> HeaderRule:
    return HeaderRule("replace", name, replacement, pattern=pattern)


def chained(*made: HeaderRule, of: Subject | None = None, came: list[Field] = CAME) -> list[str]:
    lines = HeaderProgram(made).apply(came, of or subject())
    return [line.decode("latin-1").removesuffix("\r\n") for line in lines if line]


def test_every_match_of_the_first_value_is_replaced_and_that_is_the_field() -> None:
    """As in v1: the field is set, so its other lines go."""
    assert chained(rewrite("X-A", "[ae]", "<$0>")) == ["X-B: came", "Y: came", "X-A: c<a>m<e>"]


def test_expressions_run_in_order_each_on_the_formers_result() -> None:
    made = chained(rewrite("Y", "c(.*)", "$1-1"), rewrite("Y", "-", "+"))
    assert made[-1] == "Y: ame+1"


def test_an_absent_field_stays_absent() -> None:
    assert chained(rewrite("Z", ".*", "x")) == apply()


def test_what_does_not_match_passes() -> None:
    assert chained(rewrite("Y", "nothing", "x"))[-1] == "Y: came"


def test_a_result_of_nothing_removes_the_field() -> None:
    assert chained(rewrite("Y", ".*", "")) == ["X-A: came", "X-B: came", "x-a: again"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([*rules("X-A v"), rewrite("X-A", "v", "w")], ["X-A: w"]),
        ([rewrite("X-A", "came", "w"), *rules("+X-A v")], ["X-A: w", "X-A: v"]),
        ([rewrite("X-A", "came", "w"), *rules("X-A v")], ["X-A: v"]),
        ([rewrite("X-A", "came", "w"), *rules("-X-A")], []),
        ([*rules("-X-A"), rewrite("X-A", "came", "w")], []),
        ([*rules("-X-*"), rewrite("X-A", "came", "w")], []),
        ([rewrite("X-A", "came", "w"), *rules("-X-*")], []),
        ([*rules("-X-*", "+X-A v"), rewrite("x-a", "v", "w")], ["X-A: w"]),
    ],
)
def test_they_keep_their_place_among_the_rules(made: list[HeaderRule], expected: list[str]) -> None:
    assert [line for line in chained(*made) if line.lower().startswith("x-a")] == expected


def test_no_cookie_is_lost() -> None:
    came = [Field(b"Set-Cookie", b"a=1; Domain=in"), Field(b"Set-Cookie", b"b=2; Domain=in")]
    assert chained(rewrite("Set-Cookie", "Domain=in", "Domain=out"), came=came) == [
        "Set-Cookie: a=1; Domain=out",
        "Set-Cookie: b=2; Domain=out",
    ]


def test_placeholders_in_a_replacement_are_text_and_no_references() -> None:
    made = chained(rewrite("Y", "(came)", "$1 {>Who} \\{x\\}"), of=subject(who="$1 {host}"))
    assert made[-1] == "Y: came $1 {host} {x}"


def test_a_reference_in_braces_is_no_placeholder() -> None:
    assert chained(rewrite("Y", "c(a)", "${1}x{>Who}${9}"), of=subject(who="!"))[-1] == "Y: ax!me"


def test_a_placeholder_can_not_end_the_line() -> None:
    assert chained(rewrite("Y", "came", "{>Who}"), of=subject(who="a\r\nEvil: 1")) == apply()[:3]


def test_an_expression_may_change_what_the_authority_would_be() -> None:
    program = HeaderProgram([rewrite("Host", r"^(.*)\.in$", "$1.out")])
    assert program.has_host
    assert program.host(b"a.in", subject()) == b"a.out"
    assert program.host(b"a.net", subject()) == b"a.net"


@pytest.mark.parametrize(
    ("made", "is_stable"),
    [
        (rules("X-A v", "X-B {host}", "X-C {>Who} {~id} {?q} {upstream}", "-X-D", "Host {host}"), True),
        (rules("X-A {request_id}"), False),
        (rules("X-A {when_unix_ms}"), False),
        (rules("X-A {attempts}"), False),
        (rules("X-A {<Etag}"), False),
        (rules("Host {request_id}.test"), False),
        ((rewrite("Y", "a", "{host}"),), True),
        ((rewrite("Y", "a", "{latency}"),), False),
        ((*rules("X-A {when}"), rewrite("X-A", "a", "b")), False),
    ],
)
def test_what_makes_equal_heads_differ_is_known_at_load(
    made: tuple[HeaderRule, ...], is_stable: bool
) -> None:
    assert HeaderProgram(made).is_stable is is_stable


def test_expressions_see_our_own_forwarding_fields() -> None:
    assert HeaderProgram([rewrite("X-Forwarded-For", ",.*", "")]).touches_ours


@given(st.binary(max_size=60).filter(lambda value: b"\n" not in value and b"\r" not in value))
def test_whatever_came_one_line_goes_on(value: bytes) -> None:
    program = HeaderProgram([rewrite("Y", "(.)", "$1$1")])
    lines = [line for line in program.apply([Field(b"Y", value)], subject()) if line]
    assert len(lines) <= 1
    assert all(line.count(b"\r\n") == 1 and line.endswith(b"\r\n") for line in lines)
