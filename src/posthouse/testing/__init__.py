"""The shipped test kit: what a plug-in's own tests may lean on. Nothing in Posthouse imports it."""

from __future__ import annotations

from posthouse.testing.check_policy import check_policy
from posthouse.testing.check_source import Hourglass, check_source

__all__ = ["Hourglass", "check_policy", "check_source"]
