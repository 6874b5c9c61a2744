"""Sockets and the event loop: connections on both sides, dialling, keep-alive, timers."""
