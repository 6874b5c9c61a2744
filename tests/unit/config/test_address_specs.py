"""Addresses and endpoints: frozen, equal wherever they were written, and silent about credentials."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from posthouse.config.address_specs import AddressSpec, EndpointSpec
from posthouse.errors import Place


def test_equal_wherever_they_were_written() -> None:
    one = EndpointSpec("http://a", "http", "a", 80, place=Place("a", 1, 1))
    assert one == EndpointSpec("http://a", "http", "a", 80, place=Place("b", 2, 2))
    assert one != EndpointSpec("http://a", "http", "a", 80, weight=2)
    with pytest.raises(FrozenInstanceError):
        one.weight = 2  # type: ignore[misc]
    address = AddressSpec("a", "http", "a", 80, "", Place("a", 1, 1))
    assert address == AddressSpec("a", "http", "a", 80, "")


def test_defaults_and_what_is_never_shown() -> None:
    endpoint = EndpointSpec("http://a", "http", "a", 80, credentials="jo:secret")
    assert (endpoint.weight, endpoint.max_conns, endpoint.role) == (1, None, "primary")
    assert "secret" not in repr(endpoint)
