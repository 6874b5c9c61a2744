"""Listening sockets: bind them with clear errors, name them, empty their queues."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from posthouse.errors import StartError
from posthouse.server import tcp_settings

ListenKey = tuple[str, int]
"""(host, port): host "" = every address of the machine, port 0 = any free port."""

_EVERY_HOST = ("", "::")


def bind(key: ListenKey, share: Sequence[socket.socket] = ()) -> socket.socket:
    """A non-blocking socket that listens on `key`; see `bind_slots`."""
    return bind_slots(key, 1, share)[0]


def bind_slots(key: ListenKey, slots: int, share: Sequence[socket.socket] = ()) -> tuple[socket.socket, ...]:
    """Non-blocking sockets that listen on `key`, as many as there are slots; the kernel spreads clients over them.

    Every address ("" or "::") means IPv6 and IPv4 on one socket, or IPv4 alone where the machine has no IPv6.
    `share` are sockets of this process on the same port but another host: the kernel would refuse the pair,
    so that both carry SO_REUSEPORT while binding. A single socket never has it longer, or a second Posthouse could
    slip in unseen; several must keep it, and the first one is bound without it, so that a second Posthouse is noticed.
    Raises StartError, one line that names the address.
    """
    host, port = key
    made: list[socket.socket] = []
    try:
        family, address = _resolve(host, port)
        with _shared(share):
            made.append(_listen(family, address, bool(share), slots > 1))
            # Port 0 has become a real one.
            address = (address[0], port_of(made[0]))
            made += [_listen(family, address, True, True) for _ in range(1, slots)]
    except OSError as error:
        for listening in made:
            listening.close()
        raise StartError(f"cannot listen on {show(key)}: {_reason(error, key)}") from None
    return tuple(made)


def for_slots(key: ListenKey, listening: Sequence[socket.socket], slots: int) -> tuple[socket.socket, ...]:
    """One for each slot, of sockets that listen on `key` already: the first ones, or all and new ones beside them.

    Raises StartError, one line that names the address.
    """
    made: list[socket.socket] = []
    try:
        for one in listening if len(listening) < slots else ():
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        address = listening[0].getsockname()[:2]
        while len(listening) + len(made) < slots:
            made.append(_listen(listening[0].family, address, True, True))
    except OSError as error:
        for one in made:
            one.close()
        raise StartError(f"cannot listen on {show(key)}: {_reason(error, key)}") from None
    return (*listening[:slots], *made)


def _resolve(host: str, port: int) -> tuple[int, tuple[str, int]]:
    if host in _EVERY_HOST:
        return (socket.AF_INET6, ("::", port)) if _has_ipv6() else (socket.AF_INET, ("0.0.0.0", port))
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # IPv4 first for a name that has both, as v1's runtime chose.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), port)


def _has_ipv6() -> bool:
    """False where the kernel has no IPv6, or has it disabled (then even "::" can't be bound)."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
            trial.bind(("::", 0))
    except OSError:
        return False
    return True


def _listen(family: int, address: tuple[str, int], is_sharing: bool, is_one_of_many: bool) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_sharing:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
        listening.bind(address)
        if is_one_of_many:  # before it listens: that is when the kernel puts it into the group of its address
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        tcp_settings.tune(listening, tcp_settings.DEFAULT)
        if is_sharing and not is_one_of_many:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    except BaseException:
        listening.close()
        raise
    return listening


@contextmanager
def _shared(sockets: Sequence[socket.socket]) -> Iterator[None]:
    single = [one for one in sockets if not one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)]
    for sharing in single:
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        yield
    finally:
        for sharing in single:
            sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def _reason(error: OSError, key: ListenKey) -> str:
    if isinstance(error, socket.gaierror):
        return "the name does not resolve to an address"
    if error.errno == errno.EADDRINUSE:
        return "the address is already in use by another program"
    if error.errno == errno.EADDRNOTAVAIL:
        return "that is not an address of this machine"
    if error.errno in (errno.EACCES, errno.EPERM):
        low = 0 < key[1] < 1024
        return "no permission" + (" (ports below 1024 need root or CAP_NET_BIND_SERVICE)" if low else "")
    return os.strerror(error.errno) if error.errno else str(error)


def show(key: ListenKey) -> str:
    """ "host:port" for messages: ":8080", "127.0.0.1:8080", "[::1]:8080"."""
    host, port = key
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_of(listening: socket.socket) -> int:
    """The real port, also where the configuration says 0."""
    return int(listening.getsockname()[1])


def take_waiting(listening: socket.socket) -> list[socket.socket]:
    """Accept everything that waits in the queue of a non-blocking socket, before it is closed.

    The kernel has told these clients that they are connected; closing would reset them.
    """
    taken: list[socket.socket] = []
    while True:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError):
            return taken
        except ConnectionError:
            continue
        except OSError:  # no descriptor left: what is still queued can't be saved
            return taken
        connection.setblocking(False)
        taken.append(connection)
