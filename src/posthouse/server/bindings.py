"""Bindings: every listening socket of the group, held by the supervisor for as long as its address is served.

Each slot has a socket of its own for each address, so that the kernel spreads clients evenly; one socket for all would
starve cores (64 connections at once fell 1 to 63 on two workers). What waits in the queue of a slot whose worker died
waits for the replacement, which gets the same socket.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from posthouse.config.specs import Config
from posthouse.server import sockets
from posthouse.server.sockets import ListenKey

Bound = dict[ListenKey, tuple[socket.socket, ...]]
"""By address one socket for each slot. One that was handed to us from outside is the same for all slots."""


class Offered(NamedTuple):
    """What a successor gets of one address. is_given: from outside, so not to be closed when nobody asks for it."""

    key: ListenKey
    is_given: bool
    sockets: tuple[socket.socket, ...]


class Bindings:
    """given      sockets that listen already, for addresses that a configuration may ask for
    inherited  those of a predecessor, by address one for each of its slots; the first configuration says which stay
    """

    __slots__ = ("_bound", "_from_outside", "_given", "_inherited", "_slots")

    def __init__(
        self,
        slots: int,
        given: Mapping[ListenKey, Sequence[socket.socket]] | None = None,
        inherited: Mapping[ListenKey, Sequence[socket.socket]] | None = None,
    ) -> None:
        self._slots = slots
        self._bound: Bound = {}
        self._given = dict(given or {})
        self._from_outside: set[ListenKey] = set()
        self._inherited = dict(inherited or {})

    def __repr__(self) -> str:
        return f"<Bindings {[sockets.show(key) for key in self._bound]} slots={self._slots}>"

    def bind(self, keys: Iterable[ListenKey]) -> Bound:
        """Sockets for those addresses that are not ours yet; they are ours after `take`.

        All or none: raises StartError for the first that fails, with the others closed again.
        """
        fresh: Bound = {}
        try:
            for key in keys:
                if key in self._bound or key in fresh:
                    continue
                given, inherited = self._given.get(key), self._inherited.get(key)
                if given is not None:
                    fresh[key] = tuple(given[slot % len(given)] for slot in range(self._slots))
                elif inherited is not None:
                    fresh[key] = sockets.for_slots(key, inherited, self._slots)
                else:
                    share = _neighbours(key, {**self._inherited, **self._bound, **fresh})
                    fresh[key] = sockets.bind_slots(key, self._slots, share)
        except BaseException:
            self.give_up(fresh)
            raise
        return fresh

    def give_up(self, fresh: Bound) -> None:
        """Close what was bound and not taken. What was given stays, for another attempt."""
        for key, listening in fresh.items():
            if key not in self._given and key not in self._inherited:
                _close(listening)

    def take(self, fresh: Bound) -> None:
        """They are ours from now on, and what else was inherited is nobody's: the predecessor empties it as it goes."""
        self._bound |= fresh
        for key in fresh:
            if self._given.pop(key, None) is not None:
                self._from_outside.add(key)
        for key, listening in self._inherited.items():
            _close(one for one in listening if one not in fresh.get(key, ()))
        self._inherited.clear()

    def leave(self, keys: Iterable[ListenKey]) -> Bound:
        """Exactly these addresses are served from now on: the others, no longer ours, for the caller to close."""
        wanted = set(keys)
        self._from_outside &= wanted
        return {key: self._bound.pop(key) for key in list(self._bound) if key not in wanted}

    def all(self) -> Bound:
        """By address, all that are ours."""
        return dict(self._bound)

    def of(self, slot: int, keys: Iterable[ListenKey] | None = None) -> dict[ListenKey, socket.socket]:
        """The sockets of a slot: for these addresses, or for all."""
        return {key: self._bound[key][slot] for key in (self._bound if keys is None else keys)}

    def offered(self) -> list[Offered]:
        """All of them, for a successor."""
        ours = [
            Offered(key, key in self._from_outside, tuple(dict.fromkeys(listening)))
            for key, listening in self._bound.items()
        ]
        return ours + [Offered(key, True, tuple(listening)) for key, listening in self._given.items()]

    def ports(self) -> dict[ListenKey, int]:
        """The real port of each address."""
        return {key: sockets.port_of(listening[0]) for key, listening in self._bound.items()}

    def close(self) -> None:
        """Close all, and what was given and not asked for."""
        close(self.leave(()))
        for listening in [*self._given.values(), *self._inherited.values()]:
            _close(listening)
        self._given.clear()
        self._inherited.clear()


def close(bound: Bound) -> None:
    """Close our copies; a worker may have its own."""
    for listening in bound.values():
        _close(listening)


def listen_keys(config: Config) -> tuple[ListenKey, ...]:
    """The addresses that a configuration listens on, in its order."""
    keys = [(site.bind, address.port) for site in config.sites for address in site.addresses]
    return tuple(dict.fromkeys(keys))


def _close(listening: Iterable[socket.socket]) -> None:
    for one in listening:
        with contextlib.suppress(OSError):
            one.close()


def _neighbours(key: ListenKey, ours: Mapping[ListenKey, Sequence[socket.socket]]) -> list[socket.socket]:
    """Our sockets on the same port: the kernel refuses "127.0.0.1:80" beside ":80" unless both agree."""
    host, port = key
    return [
        one for (other, at), bound in ours.items() if port and at == port and other != host for one in bound
    ]
