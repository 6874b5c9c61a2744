"""Environment placeholders: `{$NAME}` and `{%NAME%}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from posthouse.caddyfile.lexer import Token
from posthouse.errors import ConfigError, Mistake

MAX_EXPANDED = 32 * 1024 * 1024
"""Characters that all expansions may come to together: a large value times many uses stays bounded."""

_PLACEHOLDER = re.compile(r"\{\$([^{}]+)\}|\{%([^{}%]+)%\}")


class Expander:
    """Expands the tokens of one configuration, each exactly once."""

    __slots__ = ("_env", "_left")

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._left = MAX_EXPANDED

    def expand(self, token: Token) -> Token:
        """The token with its placeholders replaced; an unset variable counts as empty.

        The result is one token whatever the value holds, and marked as quoted: a value never becomes syntax,
        and is not expanded again. Unterminated and empty names stay as they are. Raises ConfigError past
        MAX_EXPANDED.
        """
        text = token.text
        if "{$" not in text and "{%" not in text:
            return token
        expanded, count = _PLACEHOLDER.subn(lambda match: self._value(match, token), text)
        return replace(token, text=expanded, quoted=True) if count else token

    def _value(self, match: re.Match[str], token: Token) -> str:
        value = self._env.get(match.group(1) or match.group(2), "")
        self._left -= len(value)
        if self._left < 0:
            message = f"the values of environment variables come to more than {MAX_EXPANDED >> 20} MB"
            raise ConfigError(Mistake(token.place, message, token.width))
        return value
