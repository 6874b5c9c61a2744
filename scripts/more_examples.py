"""A pytest plugin for `make fuzz`: every Hypothesis test runs FUZZ_TIMES times its number of examples."""

from __future__ import annotations

import os

import hypothesis
import pytest

TIMES = int(os.environ.get("FUZZ_TIMES", "20"))

USUAL = hypothesis.settings.get_profile("default").max_examples

hypothesis.settings.register_profile(
    "more_examples",
    max_examples=USUAL * TIMES,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("more_examples")


def more(own: hypothesis.settings) -> hypothesis.settings:
    """The same settings with more examples."""
    return hypothesis.settings(own, max_examples=own.max_examples * TIMES, deadline=None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the count of tests that set their own: a decorator wins over a profile.

    Hypothesis has no public way to change the settings of a decorated test, hence the attribute. A state
    machine keeps them on its test case class.
    """
    usual = hypothesis.settings.get_profile("more_examples")
    for item in items:
        machine = getattr(item, "cls", None)
        own = getattr(machine, "settings", None)
        if machine is not None and isinstance(own, hypothesis.settings) and own != usual:
            machine.settings = more(own)
            continue
        test = getattr(item, "obj", None)
        test = getattr(test, "__func__", test)
        own = getattr(test, "_hypothesis_internal_use_settings", None)
        if test is not None and isinstance(own, hypothesis.settings) and own != usual:
            test._hypothesis_internal_use_settings = more(own)
