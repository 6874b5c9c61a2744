"""Discovery: who exists. Sources that find the backends of a pool while we run; `sources.py` has their table."""
