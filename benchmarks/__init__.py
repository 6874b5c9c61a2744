"""Posthouse measured beside nginx and HAProxy in one run on one machine: `make bench`, `make soak`."""
