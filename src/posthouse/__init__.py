"""Posthouse: a reverse proxy and load balancer that speaks the Caddyfile."""

__version__ = "0.3.0"
