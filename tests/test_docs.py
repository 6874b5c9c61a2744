"""The pages tell the truth: their Caddyfiles are judged, their numbers are those of the code.

A fence of a page that begins with three back-quotes and the word caddyfile is a whole Caddyfile and may say more:

    caddyfile              no mistake and no warning
    caddyfile free         the same, in a layout of its own: it shows what may be written
    caddyfile warning      the next fence is the first line of each warning
    caddyfile error        the next fence is what `posthouse validate` shows of its mistakes
    caddyfile NAME.conf    not a whole one, but what the page's other examples import by that name
    caddyfile NAME         like `caddyfile`, with a name for tests that run it (docs/sites.md)
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from kit.certificates import write_files
from posthouse.adapt import Adapted, AdaptError, adapt
from posthouse.balance.maglev import SLOTS_PER_BACKEND, TABLE_SIZES
from posthouse.balance.policies import POLICIES
from posthouse.balance.rendezvous import TABLE_ABOVE
from posthouse.caddyfile.fmt import format_caddyfile
from posthouse.caddyfile.messages import render
from posthouse.config.specs import (
    BreakerSpec,
    CheckSpec,
    HealthSpec,
    LimitsSpec,
    LogSpec,
    PoolSpec,
    RetryKind,
    TCPSpec,
    TimeoutsSpec,
)
from posthouse.config.units import parse_duration, parse_percent, parse_size
from posthouse.directives import DIRECTIVES, Never
from posthouse.directives.proxy import PROPERTIES, _later
from posthouse.errors import ConfigError
from posthouse.server.process import dry_build, judge_policies

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENVIRONMENT = {"PORT": "8080", "BACKEND": "localhost:9001"}


def page(name: str) -> str:
    return (ROOT / name).read_text()


# --- Caddyfiles ------------------------------------------------------------------------------------------


def examples(path: Path) -> Iterator[tuple[str, str, str]]:
    """What a page's Caddyfile fences say after that word, their text, and the text of the fence after each."""
    found = FENCE.findall(path.read_text())
    for (info, text), (_, following) in zip(found, [*found, ("", "")][1:], strict=True):
        words = info.split()
        if words[:1] == ["caddyfile"]:
            yield " ".join(words[1:]), text, following


EXAMPLES = [
    pytest.param(path, kind, text, following, id=f"{path.relative_to(ROOT)}-{number}")
    for path in PAGES
    for number, (kind, text, following) in enumerate(examples(path), 1)
]


def judged(text: str) -> Adapted:
    """What `posthouse validate` looks at. Raises ConfigError."""
    try:
        adapted = adapt(text, "Caddyfile", env=ENVIRONMENT)
    except AdaptError as error:
        further = judge_policies(error.policies)
        raise AdaptError([*error.mistakes, *further], error.sources) from None
    try:
        dry_build(adapted.config)
    except ConfigError as error:
        error.sources = adapted.sources  # type: ignore[attr-defined]
        raise
    return adapted


@pytest.mark.parametrize(("path", "kind", "text", "following"), EXAMPLES)
def test_examples_are_judged_as_the_page_says(
    path: Path, kind: str, text: str, following: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "/etc/posthouse/" in text:
        # The files that an example names are those of the reader's machine.
        (tmp_path / "tool.htpasswd").write_text("admin:x\n")
        write_files(tmp_path)
        text = text.replace("/etc/posthouse/", f"{tmp_path}/")
    for name, part, _ in examples(path):
        if "." in name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(part)
    if "." in kind:
        assert f"import {kind}" in path.read_text()
    elif kind == "error":
        with pytest.raises(ConfigError) as caught:
            judged(text)
        sources = getattr(caught.value, "sources", {})
        assert "".join(render(one, sources) + "\n" for one in caught.value.mistakes) == following
    else:
        assert kind in ("", "warning", "free") or path.name == "sites.md"
        adapted = judged(text)
        shown = [render(one, {}) for one in adapted.config.notices]
        assert shown == (following.splitlines() if kind == "warning" else [])


@pytest.mark.parametrize(("path", "kind", "text", "following"), EXAMPLES)
def test_examples_have_the_layout_of_fmt(path: Path, kind: str, text: str, following: str) -> None:
    if kind == "error" or kind == "free":
        return
    assert format_caddyfile(text, path.name) == text


def test_the_examples_are_there() -> None:
    assert len(EXAMPLES) > 20


# --- Tables ----------------------------------------------------------------------------------------------


def tables(text: str) -> Iterator[list[list[str]]]:
    """The tables of a page, each as rows of cells; the first row is the heading."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.splitlines()]
        yield [row for row in rows if not set("".join(row)) <= set("-: ")]


def table(name: str, *heading: str) -> dict[str, list[str]]:
    """The rows of the one table of a page whose heading begins so, by first cell without back-quotes."""
    [found] = [rows for rows in tables(page(name)) if rows[0][: len(heading)] == list(heading)]
    return {row[0].strip("`"): row[1:] for row in found[1:]}


def value(cell: str) -> float | int | None:
    """What a cell says: a duration, a size, a number; `off` is None."""
    text = cell.strip("`")
    if text == "off":
        return None
    for read in (int, parse_duration, parse_size, parse_percent):
        try:
            return read(text)
        except ValueError:
            continue
    raise AssertionError(f"{cell!r} is no value")


def code(cited: str) -> Any:
    """The value of `net/idle.py: IDLE_SECONDS`; the default of a field (`config/specs.py: LimitsSpec.header`)."""
    file, name = cited.strip("`").split(": ")
    found: Any = importlib.import_module("posthouse." + file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        defaults = {one.name: one.default for one in fields(found)} if is_dataclass(found) else {}
        found = defaults[part] if part in defaults else getattr(found, part)
    return found


LIMITS = {
    "header": LimitsSpec().header,
    "fields": LimitsSpec().fields,
    "body": None,
    "request target": code("protocol/h1.py: TARGET_BYTES"),
    "chunk line": code("protocol/chunked.py: CHUNK_LINE"),
    "trailers": code("protocol/chunked.py: TRAILERS"),
    "head of a response": code("protocol/h1.py: RESPONSE_HEAD_BYTES"),
    "lines in it": code("protocol/h1.py: RESPONSE_FIELDS"),
    "1xx responses before one answer": code("net/upstream_h1.py: INFORMATIONAL"),
}


def test_limits() -> None:
    rows = table("docs/limits-and-timeouts.md", "limit", "default")
    assert rows.pop("connections")[0] == "about half of the descriptors"
    assert code("server/descriptors.py: connection_limit")(1000) == 484
    assert {name: value(cells[0]) for name, cells in rows.items()} == LIMITS
    assert LimitsSpec().body == ()


def test_timeouts_of_the_client() -> None:
    rows = table("docs/limits-and-timeouts.md", "timeout", "default", "what it bounds", "past it")
    assert {name: value(cells[0]) for name, cells in rows.items()} == {
        one.name: one.default for one in fields(TimeoutsSpec) if one.name != "given"
    }


def timeouts_of_the_backend() -> dict[str, float | None]:
    spec = PoolSpec("", ())
    return {
        "timeout": spec.timeouts.connect,
        "response_timeout": spec.timeouts.response,
        "idle_timeout": spec.timeouts.idle,
        "tunnel_timeout": spec.timeouts.tunnel,
        "exchange_timeout": spec.timeouts.exchange,
        "try_duration": spec.retry.duration,
    }


def test_timeouts_of_the_backend() -> None:
    [rows] = [
        found
        for found in tables(page("docs/limits-and-timeouts.md"))
        if found[0] == ["timeout", "default", "what it bounds"]
    ]
    assert {name.strip("`"): value(cell) for name, cell, _ in rows[1:]} == timeouts_of_the_backend()


def test_properties_of_proxy() -> None:
    """Every property of this release has a row with its default, every other one is named as not in it."""
    text = page("docs/proxy-directive.md")
    rows = {name.split()[0]: cells for name, cells in table("docs/proxy-directive.md", "property").items()}
    assert set(rows) == {name for name, reader in PROPERTIES.items() if reader.read is not _later}
    spec, health = PoolSpec("", ()), HealthSpec(CheckSpec())
    known: dict[str, float | int | None] = {
        **timeouts_of_the_backend(),
        "max_conns": spec.max_conns,
        "keepalive": spec.keepalive,
        "fail_timeout": spec.passive.fail_timeout,
        "max_fails": spec.passive.max_fails,
        "max_ejected": spec.passive.max_ejected,
        "unhealthy_latency": spec.passive.latency,
        "try_interval": spec.retry.interval,
        "replay_limit": spec.retry.replay_limit,
        "fallback_delay": spec.timeouts.fallback_delay,
        "tcp_keepalive": spec.tcp.keepalive,
        "health_check_interval": health.interval,
        "health_check_timeout": health.timeout,
        "health_check_passes": health.passes,
        "health_check_fails": health.fails,
    }
    shown = {name: value(cells[0]) for name, cells in rows.items() if cells[0] and name in known}
    assert shown == known
    assert rows["retry_on"][0].strip("`") == " ".join(spec.retry.kinds)
    assert rows["retry_budget"][0].strip("`") == f"{spec.retry.budget:g}% {spec.retry.budget_least:g}"
    assert rows["policy"][0].strip("`") == spec.policy.name
    assert rows["health_check_method"][0].strip("`") == health.check.method
    assert rows["health_check_status"][0].strip("`") == "-".join(map(str, *health.check.statuses))
    later = text.partition("Not in this release yet, and refused with that message:")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+)`", later))
    missing = {name for name, reader in PROPERTIES.items() if reader.read is _later} - named
    assert missing == set()
    assert named <= set(PROPERTIES) | {"upstream"}


def test_tcp_settings() -> None:
    rows = table("docs/limits-and-timeouts.md", "setting")
    tcp = TCPSpec()
    assert {name.strip("`"): cells[0] for name, cells in rows.items()}.keys() == {
        "backlog",
        "keepalive",
        "nodelay",
    }
    assert (value(rows["backlog"][0]), value(rows["keepalive"][0])) == (tcp.backlog, tcp.keepalive)
    assert tcp.nodelay and rows["nodelay"][0] == "on"


def test_failures() -> None:
    """The tables of that page say what that of all properties says, and what a breaker is by default."""
    every = table("docs/proxy-directive.md", "property")
    found = [rows for rows in tables(page("docs/failure.md")) if rows[0][0] == "property"]
    shared = {row[0].strip("`"): row[1] for rows in found for row in rows[1:]}
    assert shared == {name: every[name][0] for name in shared}
    assert len(found) == 2 and len(shared) == 12
    spec = BreakerSpec()
    shown = {
        name.partition("=")[0]: value(cells[0]) for name, cells in table("docs/failure.md", "option").items()
    }
    assert shown == {
        "errors": spec.errors,
        "latency": spec.latency,
        "window": spec.window,
        "min": spec.minimum,
        "open": spec.open,
        "trials": spec.trials,
    }
    kinds = [kind for name in table("docs/failure.md", "KIND") for kind in name.split("` `")]
    assert kinds == list(get_args(RetryKind))


def test_policies() -> None:
    text = page("docs/policies.md")
    rows = table("docs/policies.md", "policy", "choice")
    assert list(rows) == [POLICIES[name.split()[0]].usage for name in rows]
    assert {name.split()[0] for name in rows} == set(POLICIES)
    assert f"Up to {TABLE_ABOVE} backends" in text
    steps = [TABLE_ABOVE, *(size // SLOTS_PER_BACKEND for size in TABLE_SIZES)]
    assert f"past {steps[0]}, {steps[1]}, {steps[2]} or {steps[3]} backends" in text
    assert f"at most {steps[4]} backends" in text


def test_directives() -> None:
    text = page("docs/caddyfile.md")
    cells = " ".join(table("docs/caddyfile.md", "directive"))
    section = text.partition("\n## Directives")[2].partition("\n### ")[0]
    later, never = section.partition("Not in this release yet")[2].split("Not part of Posthouse")
    left_out = {name for name, reader in DIRECTIVES.items() if isinstance(reader, Never)}
    assert set(re.findall(r"`(\w+)`", later)) == {"tls"}
    assert set(re.findall(r"`(\w+)`", never)) - {"proxy"} == left_out
    known = set(DIRECTIVES) - left_out
    named = {name for name in known if re.search(rf"\b{name}\b", cells)}
    assert named == known
    assert LogSpec().output == "access.log"


def test_sizes_of_a_configuration() -> None:
    rows = table("docs/caddyfile.md", "", "at most")
    assert [value(cells[0]) for cells in rows.values()] == [
        code("caddyfile/imports.py: MAX_SIZE"),
        code("caddyfile/lexer.py: MAX_TOKENS"),
        code("caddyfile/imports.py: MAX_DEPTH"),
        code("caddyfile/environment.py: MAX_EXPANDED"),
        code("caddyfile/lexer.py: MAX_MISTAKES"),
    ]


# --- Numbers in sentences --------------------------------------------------------------------------------

SENTENCES = {
    "docs/limits-and-timeouts.md": [
        ("up to {} of them", "config/connection_specs.py: TCPSpec.backlog"),
        ("may be late by {}", "net/timers.py: TICK"),
        ("while there is no backend yet | {}", "proxy/attempts.py: PENDING_BYTES"),
        ("`replay_limit`, {};", "config/specs.py: RetrySpec.replay_limit"),
        ("on the same connection | {}", "net/downstream_body.py: PIPELINE_BYTES"),
        ("on its way | {} in each direction", "net/pump.py: _HIGH_WATER"),
        ("idle | {},", "net/idle.py: IDLE_SECONDS"),
        ("{} per backend (`keepalive`)", "config/specs.py: PoolSpec.keepalive"),
        ("`100 Continue` | {}", "proxy/attempts.py: CONTINUE_SECONDS"),
        ("after an early answer | {}", "net/downstream_answer.py: DRAIN_BYTES"),
        ("the last answer | {} or", "net/downstream_answer.py: LINGER_SECONDS"),
        ("or {}, dropped", "net/downstream_answer.py: LINGER_BYTES"),
        ("is used for {},", "net/resolver.py: ANSWER_SECONDS"),
        ("takes longer than {},", "net/resolver.py: PATIENCE_SECONDS"),
        ("`fallback_delay` ({})", "config/specs.py: UpstreamTimeouts.fallback_delay"),
    ],
    "docs/proxy-directive.md": [
        ("says nothing for {} is", "proxy/attempts.py: CONTINUE_SECONDS"),
        ("up to {} of body", "net/downstream_answer.py: DRAIN_BYTES"),
        ("passed a Posthouse {} times", "proxy/route.py: LOOP_LIMIT"),
        ("per backend, for {} at most", "net/idle.py: IDLE_SECONDS"),
    ],
    "docs/proxy-protocol.md": [
        ("no whole header after {}, or", "net/entrance.py: INTRODUCTION_SECONDS"),
        ("at most {} bytes long in version 1", "protocol/proxy_protocol.py: V1_BYTES"),
        ("version 1, {} in version 2", "protocol/proxy_protocol.py: V2_BYTES"),
        ("in the last {} (and", "net/idle.py: IDLE_SECONDS"),
        ("of one client {} at most", "server/openings.py: MOST_OWN"),
    ],
    "docs/passwords.md": [
        ("remembered for {},", "steps/basicauth.py: REMEMBERED_SECONDS"),
        ("at most {} pairs", "steps/basicauth.py: REMEMBERED"),
        ("At most {} checks wait", "server/password_checks.py: WAITING"),
        ("checks wait, {} of one client", "server/password_checks.py: WAITING_OF_ONE"),
        ("more than {} bytes together", "steps/basicauth.py: MOST_BYTES"),
    ],
    "docs/discovery.md": [
        ("not before {} and", "discovery/belief.py: LEAST_SECONDS"),
        ("not after {}.", "discovery/belief.py: MOST_SECONDS"),
        ("above {}, or if", "config/specs.py: HEAVIEST"),
        ("no answer in {},", "discovery/lookup.py: TOTAL_SECONDS"),
        ("again after {}, then", "discovery/belief.py: RETRY_SECONDS"),
        ("each time, up to {} ", "discovery/belief.py: MOST_RETRY_SECONDS"),
        ("stays for {} of", "discovery/belief.py: DOUBT_SECONDS"),
        ("answers, at most {}.", "server/discoverer.py: FIRST_SECONDS"),
        ("may have {} and", "discovery/file_source.py: MOST_BYTES"),
        ("and {} backends.", "discovery/list_file.py: MOST_MEMBERS"),
    ],
    "docs/pressure.md": [
        ("It keeps {} for itself", "server/descriptors.py: OWN"),
        ("accepting rests for {} |", "server/accepting.py: RETRY_SECONDS"),
        ("has been idle for {}: its", "server/accepting.py: IDLE_SECONDS"),
        ("finds none, {} warm", "net/connector.py: _ROOM"),
        ("occupied ({} for", "server/gauge.py: EXCHANGE_BYTES"),
        ("In a turn, {} requests", "net/downstream_h1.py: HEADS_A_TURN"),
        ("and {} of its chunks", "protocol/chunked.py: CHUNKS_AT_ONCE"),
    ],
    "docs/status-and-internal.md": [("happen up to {} times", "proxy/dispatching.py: MOST_REDIRECTS")],
    "docs/headers.md": [("brings {} of them", "proxy/route.py: LOOP_LIMIT")],
}


@pytest.mark.parametrize(
    ("name", "sentence", "cited"),
    [(name, sentence, cited) for name, pairs in SENTENCES.items() for sentence, cited in pairs],
)
def test_numbers_in_sentences(name: str, sentence: str, cited: str) -> None:
    plain = " ".join(page(name).split())
    before, after = (re.escape(part) for part in sentence.split("{}"))
    found = re.findall(before + r"(\d+(?:\.\d+)?[a-zA-Z]*)" + after, plain)
    assert [value(text) for text in found] == [code(cited)], found


def test_limits_of_the_threat_model() -> None:
    """Its table names the constant of each limit; both must say the same."""
    [rows] = [found for found in tables(page("THREAT_MODEL.md")) if found[0][-1] == "in the code"]
    assert len(rows) > 20
    wrong = []
    for what, limit, *_, cited in rows[1:]:
        if value(limit) != code(cited):
            wrong.append(f"{what}: {limit}, but {cited} is {code(cited)}")
    assert not wrong, "\n".join(wrong)
