"""The map is true: who imports whom, which module answers to which test, which names the pages cite.

All of it is read from the source with `ast`, so that an import in a function or under TYPE_CHECKING counts.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "posthouse"

# What each part may import of Posthouse besides `errors`, which imports nothing, and itself.
# A dotted name allows that module alone. One direction: nothing below may import what is above it.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "__init__": set(),
    "caddyfile": set(),
    "config": set(),
    "endpoints": {"caddyfile", "config"},
    "directives": {"caddyfile", "config", "endpoints"},
    "reuse": {"caddyfile", "config"},
    "adapt": {"caddyfile", "directives", "config", "reuse"},
    "protocol": set(),
    "balance": {"config.specs", "config.units"},
    "observe": set(),
    "proxy": {"protocol", "balance", "observe", "config.specs", "config.patterns"},
    "net": {"protocol", "config.specs"},
    "files": {"protocol", "observe", "proxy.answer"},
    "probe": {"protocol", "balance", "config.specs"},
    "discovery": {"config.specs"},
    "steps": {"protocol", "observe", "config.specs", "config.step_specs", "config.patterns"}
    | {"proxy.answer", "proxy.reply"},
    "admin": {"protocol"},
    "server": {
        "adapt",
        "caddyfile",
        "config",
        "directives",
        "endpoints",
        "protocol",
        "balance",
        "observe",
        "proxy",
    }
    | {"net", "files", "probe", "discovery", "steps", "admin", "__version__"},
    "_build": {"server.loops"},
    "commands": {"server", "adapt", "config", "caddyfile", "admin", "_build", "__version__"},
    "cli": {"commands"},
    "__main__": {"cli"},
    "testing": {"config", "protocol", "balance", "observe", "proxy", "steps", "net"} | {"discovery"},
}

# Rules without I/O: no event loop, no socket, no clock. They are handed what they need.
PURE = {"errors", "caddyfile", "config", "endpoints", "directives", "protocol", "balance", "steps"}
IMPURE_MODULES = {
    "asyncio",
    "socket",
    "selectors",
    "ssl",
    "select",
    "time",
    "threading",
    "subprocess",
    "uvloop",
}

# The environment and the command line are read here and nowhere else.
MAY_ASK_THE_PROCESS = {"cli", "commands", "adapt", "server"}

# Modules that need no test of their name: they hold a docstring or a hand-over of two lines.
WITHOUT_TEST = {"__main__.py", "__init__.py"}

# `site` is a module of Python's too, but Site is our word for it.
OUR_WORDS = {"__main__", "site"}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "misc", "base", "types"}

MODULES = sorted(SOURCE.rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def part_of(path: Path) -> str:
    """The part of the map that a file belongs to: its first folder, or its own name."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def dotted(path: Path) -> str:
    """`posthouse.net.flow` for src/posthouse/net/flow.py."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def is_allowed(part: str, imported: str) -> bool:
    """Whether a file of the part may import this name of Posthouse."""
    inside = imported.removeprefix("posthouse").removeprefix(".") or "__init__"
    own = inside.split(".")[0]
    if own in {part, "errors"}:
        return True
    return any(inside == name or inside.startswith(name + ".") for name in MAY_IMPORT[part])


def test_every_part_has_a_row_in_the_table() -> None:
    assert {part_of(path) for path in MODULES} <= set(MAY_IMPORT)


def test_imports_follow_the_table() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {part_of(path)} may not import {name}"
        for path in MODULES
        for line, name in imports_of(path)
        if name.split(".")[0] == "posthouse" and not is_allowed(part_of(path), name)
    ]
    assert not wrong, "\n".join(wrong)


def test_rules_know_no_io() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in MODULES
        if part_of(path) in PURE
        for line, name in imports_of(path)
        if name.split(".")[0] in IMPURE_MODULES
    ]
    assert not wrong, "\n".join(wrong)


def test_only_a_few_ask_the_process() -> None:
    asks = re.compile(r"\b(os\.environ|os\.getenv|sys\.argv)\b")
    wrong = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if part_of(path) not in MAY_ASK_THE_PROCESS and asks.search(path.read_text())
    ]
    assert not wrong, wrong


def test_every_module_imports_alone() -> None:
    """No module needs another to have been imported first: a circle would show here."""
    script = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [n for n in sys.modules if n.split(".")[0] == "posthouse"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
"""
    names = [dotted(path) for path in MODULES if path.name != "__main__.py"]
    done = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


def test_every_module_has_a_test_of_its_name() -> None:
    missing = []
    for path in MODULES:
        place = path.relative_to(SOURCE)
        test = Path("tests", "unit", place.parent, f"test_{place.name}")
        if path.name not in WITHOUT_TEST and not (ROOT / test).exists():
            missing.append(f"{place} wants {test}")
    assert not missing, "\n".join(missing)


def test_names_say_something() -> None:
    wrong = [
        str(path.relative_to(SOURCE))
        for path in MODULES
        if path.stem in NAMES_THAT_SAY_NOTHING or path.stem in sys.stdlib_module_names - OUR_WORDS
    ]
    assert not wrong, wrong


def test_shapes_stay_small() -> None:
    """Files up to 400 lines, functions up to 60 and six arguments: past that, an object is missing."""
    wrong = []
    for path in MODULES:
        text = path.read_text()
        place = path.relative_to(ROOT)
        if text.count("\n") > 400:
            wrong.append(f"{place}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                count = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
                if length > 60 or count > 6:
                    wrong.append(f"{place}:{node.lineno}: {node.name}: {length} lines, {count} arguments")
    assert not wrong, "\n".join(wrong)


# --- pages -----------------------------------------------------------------------------------------------

CITED = re.compile(r"`([\w/]+\.py): ([A-Za-z_][\w.]*)")
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)|<(?:img|source)[^>]+(?:src|srcset)=\"([^\"]+)\"")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def names_in(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """Names defined in a body, each with its own body (empty for a value)."""
    found: dict[str, list[ast.stmt]] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node.body
        elif isinstance(node, ast.Assign):
            found.update({target.id: [] for target in node.targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = []
        elif isinstance(node, ast.If | ast.Try):
            found.update(names_in(node.body))
    return found


def is_defined(file: str, name: str) -> bool:
    """Whether src/posthouse/FILE defines the name, dotted for a member of a class."""
    path = SOURCE / file
    if not path.exists():
        return False
    body = ast.parse(path.read_text()).body
    for part in name.rstrip(".").split("."):
        inside = names_in(body)
        if part not in inside:
            return False
        body = inside[part]
    return True


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "docs/life-of-a-request.md"])
def test_pages_cite_names_that_exist(page: str) -> None:
    cited = CITED.findall((ROOT / page).read_text())
    assert len(cited) >= 8, f"{page} cites {len(cited)} names; the walk alone has eight hops"
    wrong = [f"{page} cites `{file}: {name}`" for file, name in cited if not is_defined(file, name)]
    assert not wrong, "\n".join(wrong)


def slugs(page: Path) -> set[str]:
    """The anchors that a page's headings get where it is shown."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for groups in LINK.findall(FENCE.sub("", page.read_text())):
        link = groups[0] or groups[1]
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in slugs(target)):
            wrong.append(link)
    assert not wrong, f"{page.relative_to(ROOT)}: {wrong}"
