"""Bindings: a socket for each slot and address, all or none, and what was given from outside."""

from __future__ import annotations

import socket

import pytest

from posthouse.config.specs import Config
from posthouse.errors import StartError
from posthouse.server import bindings, sockets
from posthouse.server.bindings import Bindings, listen_keys
from posthouse.server.sockets import ListenKey
from unit.server.troupe import config_for

A: ListenKey = ("127.0.0.1", 0)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_each_slot_has_a_socket_of_its_own_on_the_same_port() -> None:
    ours = Bindings(3)
    ours.take(ours.bind([A]))
    made = [ours.of(slot)[A] for slot in range(3)]
    assert len(set(made)) == 3
    assert {sockets.port_of(one) for one in made} == {ours.ports()[A]}
    assert repr(ours) == "<Bindings ['127.0.0.1:0'] slots=3>"
    ours.close()
    assert all(one.fileno() < 0 for one in made)


def test_what_stays_is_not_bound_again_and_what_goes_is_handed_out() -> None:
    ours = Bindings(2)
    ours.take(ours.bind([A, A]))
    other = ("127.0.0.1", free_port())
    before = ours.of(0)[A]
    fresh = ours.bind([A, other])
    assert list(fresh) == [other]
    ours.take(fresh)
    gone = ours.leave([other])
    assert list(gone) == [A]
    assert before in gone[A]
    assert before.fileno() >= 0, "closing it is the caller's"
    bindings.close(gone)
    assert list(ours.of(1)) == [other]
    ours.close()


def test_binding_is_all_or_none() -> None:
    ours = Bindings(2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = free_port()
        with pytest.raises(StartError, match="already in use"):
            ours.bind([("127.0.0.1", free), ("127.0.0.1", taken.getsockname()[1])])
    sockets.bind(("127.0.0.1", free)).close()


def test_given_sockets_are_taken_as_they_are() -> None:
    one, several = sockets.bind(A), sockets.bind_slots(A, 2)
    other: ListenKey = ("localhost", 0)
    ours = Bindings(2, {A: [one], other: several})
    fresh = ours.bind([A, other])
    assert fresh == {A: (one, one), other: several}
    ours.give_up(fresh)
    assert one.fileno() >= 0, "for the next attempt"
    ours.take(ours.bind([A]))
    ours.close()
    assert one.fileno() == several[0].fileno() == -1, "also what nobody has asked for"


def test_one_port_on_every_address_and_on_one() -> None:
    port = free_port()
    ours = Bindings(2)
    ours.take(ours.bind([("", port)]))
    ours.take(ours.bind([("127.0.0.1", port)]))
    with pytest.raises(StartError, match="already in use"):
        sockets.bind_slots(("127.0.0.1", port), 2)
    ours.close()


def test_addresses_of_a_configuration_come_once_in_its_order() -> None:
    sites = (*config_for(81, 80).sites, *config_for(81).sites)
    assert listen_keys(Config(sites)) == (("127.0.0.1", 81), ("127.0.0.1", 80))


def inherited(count: int) -> tuple[ListenKey, list[socket.socket]]:
    key = ("127.0.0.1", free_port())
    return key, list(sockets.bind_slots(key, count))


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_sockets_of_a_predecessor_are_gone_on_with(slots: int) -> None:
    key, before = inherited(2)
    gone, unwanted = inherited(1)
    ours = Bindings(slots, inherited={key: before, gone: unwanted})
    ours.take(ours.bind([key]))
    made = [ours.of(slot)[key] for slot in range(slots)]
    assert len(set(made)) == slots
    assert {sockets.port_of(one) for one in made} == {key[1]}
    assert made[:2] == before[:slots]
    assert [one.fileno() < 0 for one in before] == [slots < 1, slots < 2], "who is surplus is closed"
    assert unwanted[0].fileno() < 0, "so is what no site listens on"
    with socket.create_connection(key):
        pass
    ours.close()
    assert all(one.fileno() < 0 for one in made)


def test_a_start_that_fails_closes_what_was_inherited() -> None:
    key, before = inherited(1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        ours = Bindings(1, inherited={key: before})
        with pytest.raises(StartError, match="already in use"):
            ours.bind([key, ("127.0.0.1", other.getsockname()[1])])
        assert before[0].fileno() >= 0
        ours.close()
    assert before[0].fileno() < 0


def test_a_successor_is_offered_everything() -> None:
    given = sockets.bind(A)
    later = sockets.bind(A)
    ours = Bindings(2, {("", 1): [given], ("", 2): [later]})
    ours.take(ours.bind([("", 1), A]))
    told = {one.key: (one.is_given, len(one.sockets)) for one in ours.offered()}
    assert told == {("", 1): (True, 1), A: (False, 2), ("", 2): (True, 1)}
    assert ours.all() == {("", 1): (given, given), A: (ours.of(0)[A], ours.of(1)[A])}
    bindings.close(ours.leave([A]))
    assert [(one.key, one.is_given) for one in ours.offered()] == [(A, False), (("", 2), True)]
    ours.close()
