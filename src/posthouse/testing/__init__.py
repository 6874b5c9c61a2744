"""The shipped test kit: what a plug-in's own tests may lean on. Nothing in Posthouse imports it."""

from __future__ import annotations

from posthouse.testing.check_policy import check_policy

__all__ = ["check_policy"]
