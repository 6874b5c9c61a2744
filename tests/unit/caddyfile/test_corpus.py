"""Bad files, and word for word what is said of them: tests/corpus/caddyfile/NAME.caddyfile and NAME.txt.

After a change of wording, `python tests/unit/caddyfile/test_corpus.py` writes the .txt files anew; read the
difference before committing it.
"""

from __future__ import annotations

from glob import glob
from pathlib import Path

import pytest

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.messages import render
from posthouse.caddyfile.parser import parse_leniently
from posthouse.errors import Mistake, Notice

CORPUS = Path(__file__).resolve().parents[2] / "corpus" / "caddyfile"
CASES = sorted(CORPUS.glob("*.caddyfile"))

ENV = {"UPSTREAM": "backend:80", "BRACE": "{"}
PROPERTIES = {
    "policy": Arity(1, 2),
    "max_fails": Arity(1, 1),
    "health_check": Arity(1, 1),
    "header_upstream": Arity(1, 2),
    "except": Arity(1, None),
    "transparent": Arity(0, 0),
    "websocket": Arity(0, 0),
}


def judge(case: Path) -> str:
    """All mistakes of the grammar and of property blocks, as they would be printed."""
    text = _text(case)
    sources = {case.name: text}

    def read(pattern: str) -> list[tuple[str, str]]:
        names = sorted(glob(pattern, root_dir=CORPUS))
        sources.update({name: _text(CORPUS / name) for name in names})
        return [(name, sources[name]) for name in names]

    parsed = parse_leniently(text, case.name, env=ENV, read=read)
    mistakes = list(parsed.mistakes)
    for block in parsed.blocks:
        for segment in block.directives:
            dispenser = Dispenser(segment)
            dispenser.properties(PROPERTIES)
            mistakes += dispenser.mistakes
    remarks: list[Mistake | Notice] = [*mistakes, *parsed.notices]
    return "\n\n".join(render(one, sources) for one in remarks) + "\n"


def _text(path: Path) -> str:
    # Not read_text: it would turn CR LF into LF.
    return path.read_bytes().decode("utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_is_said(case: Path) -> None:
    assert judge(case) == case.with_suffix(".txt").read_text()


def test_the_corpus_is_there() -> None:
    assert len(CASES) >= 20
    assert {path.stem for path in CORPUS.glob("*.txt")} == {case.stem for case in CASES}


if __name__ == "__main__":
    for written in CASES:
        written.with_suffix(".txt").write_text(judge(written))
