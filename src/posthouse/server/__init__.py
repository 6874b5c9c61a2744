"""Processes: what listens, what serves now, and how it is started, reloaded and stopped."""
