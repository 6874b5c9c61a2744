"""The proxies under test: a file each, listed in `table.py`, with configurations as alike as they can be made."""
