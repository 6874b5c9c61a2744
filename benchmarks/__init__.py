"""Posthouse measured beside nginx, HAProxy, Caddy and Envoy in one run on one machine: `make bench`, `make soak`."""
