"""IdleConnections: the latest used first, so many per backend, closed ones never."""

from __future__ import annotations

from posthouse.net.idle import IdleConnections
from unit.net.fakes import Backend, FakeAttempt
from unit.net.wire import Stand

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def warm(stand: Stand, key: str = "b") -> Backend:
    """A backend whose connection waits for the next request."""
    backend = Backend(stand, key)
    backend.ask(FakeAttempt())
    backend.send(EMPTY)
    backend.connection.release(8)
    return backend


def test_nothing_is_there_at_first() -> None:
    idle = IdleConnections()
    assert idle.acquire("b") is None and len(idle) == 0


def test_the_latest_used_comes_first() -> None:
    """The others may grow old and be closed."""
    stand = Stand()
    backends = [warm(stand) for _ in range(3)]
    taken = [stand.idle.acquire("b") for _ in range(4)]
    assert taken == [backend.connection for backend in reversed(backends)] + [None]


def test_backends_do_not_share() -> None:
    stand = Stand()
    first, second = warm(stand, "b"), warm(stand, "c")
    assert len(stand.idle) == 2
    assert stand.idle.acquire("c") is second.connection
    assert stand.idle.acquire("c") is None
    assert stand.idle.acquire("b") is first.connection


def test_a_connection_is_lent_once() -> None:
    stand = Stand()
    warm(stand)
    assert stand.idle.acquire("b") is not None
    assert stand.idle.acquire("b") is None


def test_closing_ones_are_passed_over() -> None:
    stand = Stand()
    good, bad = warm(stand), warm(stand)
    bad.wire.is_closed = True
    assert stand.idle.acquire("b") is good.connection
    assert len(stand.idle) == 0


def test_only_so_many_per_backend() -> None:
    stand = Stand()
    first, second = Backend(stand), Backend(stand)
    idle = IdleConnections()
    assert idle.release(first.connection, 1)
    assert not idle.release(second.connection, 1)
    assert idle.acquire("b") is first.connection
    assert idle.release(second.connection, 1)


def test_forget() -> None:
    stand = Stand()
    backend, stranger = warm(stand), Backend(stand, "c")
    stand.idle.forget(stranger.connection)
    stand.idle.forget(backend.connection)
    stand.idle.forget(backend.connection)
    assert len(stand.idle) == 0 and not backend.wire.is_closed


def test_close() -> None:
    stand = Stand()
    first, second, other = warm(stand), warm(stand), warm(stand, "c")
    stand.idle.close("b")
    stand.idle.close("nobody")
    assert first.wire.is_aborted and second.wire.is_aborted and not other.wire.is_closed
    assert stand.idle.acquire("b") is None and len(stand.idle) == 1


def test_close_all() -> None:
    stand = Stand()
    backends = [warm(stand, key) for key in "bbc"]
    stand.idle.close_all()
    stand.turn()
    assert all(backend.wire.is_aborted for backend in backends)
    assert len(stand.idle) == 0
    assert not any(stand.reactor.timers._buckets.values())


def test_what_comes_back_to_an_endpoint_that_was_left_is_closed() -> None:
    stand = Stand()
    waiting, out, other = warm(stand), Backend(stand), warm(stand, "c")
    stand.idle.leave("b")
    assert waiting.wire.is_closed and not other.wire.is_closed
    out.ask(FakeAttempt())
    out.send(EMPTY)
    out.connection.release(8)
    assert out.wire.is_closed
    stand.idle.forget_left("b")
    stand.idle.forget_left("b")
    again = warm(stand)
    assert not again.wire.is_closed


def test_trimmed_those_go_that_would_be_closed_first() -> None:
    stand = Stand()
    backends = []
    for key in "bcbc":
        stand.loop.advance(1.0)
        backends.append(warm(stand, key))
    assert stand.idle.trim(4) == 0
    assert stand.idle.trim(2) == 2
    assert [backend.wire.is_closed for backend in backends] == [True, True, False, False]
    assert len(stand.idle) == 2
    assert stand.idle.trim(0) == 2
    assert stand.idle.acquire("b") is None


def test_after_the_end_nothing_is_kept() -> None:
    stand = Stand()
    waiting, out = warm(stand), Backend(stand, "c")
    stand.idle.end()
    assert waiting.wire.is_closed
    assert not stand.idle.release(out.connection, 9) and len(stand.idle) == 0
