"""Hypothesis strategies for Caddyfile text: fragments of the grammar in any order, and plain noise."""

from __future__ import annotations

from hypothesis import strategies as st

FRAGMENTS = [
    *["{", "}", "\n", "\n\n", " ", "\t", " {\n", "\n}\n", "{}", "x{", "y}"],
    *["a.test", "a.test,", ",", "proxy / x", "import a", "import *", "import s", "(s)", "import"],
    *['"', "`", '"q r"', "`r`", '"m\nn"', '\\"', "# note", "#c,", "\\", "\\\n", "a\\"],
    *["{$A}", "{%B%}", "{$", "{$}", "{host}", "日本", "e\u0301"],
    *["\ufeff", "\r", "\x00", "\x1b[2J", "\u2028", "\u00a0", "\u0085", "\ud800"],
]

_fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=25)

odd_texts: st.SearchStrategy[str] = st.one_of(
    _fragments.map("".join), _fragments.map(" ".join), st.text(max_size=40)
)
