"""Caddyfile text to blocks of tokens. Knows the grammar and no directive."""
