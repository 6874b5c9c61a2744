"""`policy sticky`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.balance.active_health import State
from posthouse.balance.backend import Backend
from posthouse.balance.policies.sticky import Sticky
from posthouse.balance.policy import Setting
from posthouse.balance.pool import Pool
from posthouse.config.specs import BreakerSpec, PassiveSpec
from posthouse.errors import FailureKind
from posthouse.testing import check_policy
from unit.balance.samples import Request, make_pool, pool_spec

KEY = b"k" * 32


def with_key(setting: Setting) -> Sticky:
    policy = Sticky((), setting)
    policy.use_key(KEY)
    return policy


@pytest.mark.parametrize("make", [with_key, lambda setting: Sticky((), setting)])
def test_keeps_the_promises(make: object) -> None:
    check_policy(make, "even")  # type: ignore[arg-type]


def pool_of(hosts: Sequence[str], *args: str, key: bytes = KEY, previous: Pool | None = None) -> Pool:
    pool = make_pool(pool_spec(hosts, "sticky", *args), previous=previous)
    assert pool.sessions is not None
    pool.sessions.use_key(key)
    return pool


class Client:
    """What a browser does."""

    def __init__(self, pool: Pool, wall: float = 1_700_000_000.0) -> None:
        self.pool = pool
        self.wall = wall
        self.cookie = b""

    def request(self) -> Request:
        request = Request(cookie=self.cookie.decode("latin-1")) if self.cookie else Request()
        request.wall = self.wall
        return request

    def ask(self, *tried: Backend) -> tuple[Backend | None, bytes]:
        """Who is chosen, and the line that sets a cookie, or b""."""
        pool, request = self.pool, self.request()
        backend = pool.select(request, 0.0, tried)
        if backend is None:
            return None, b""
        assert pool.sessions is not None
        line = pool.sessions.cookie(request, backend)
        if line:
            found = re.fullmatch(rb"Set-Cookie: ([^;]+)(;.*)?\r\n", line)
            assert found, line
            self.cookie = found[1]
        return backend, line


def test_a_client_stays_and_its_cookie_is_set_once() -> None:
    pool = pool_of("abc")
    clients = [Client(pool) for _ in range(3)]
    first = [client.ask() for client in clients]
    assert {backend for backend, _ in first} == set(pool.backends)
    assert all(line for _, line in first)
    for _ in range(5):
        assert [client.ask() for client in clients] == [(backend, b"") for backend, _ in first]


def test_the_cookie_as_it_is_written() -> None:
    client = Client(pool_of("ab", "name", "ttl=90s", "path=/a b", "samesite=strict"))
    line = client.ask()[1]
    assert re.fullmatch(
        rb"Set-Cookie: name=[\w-]{12}\.6553f15a\.[\w-]{22}; Path=/a b; HttpOnly; SameSite=Strict; Max-Age=90\r\n",
        line,
    )
    secure = Client(pool_of("ab"))
    request = secure.request()
    request.is_secure = True
    assert secure.pool.sessions is not None
    assert re.fullmatch(
        rb"Set-Cookie: posthouse=[\w-]{12}\.0\.[\w-]{22}; Path=/; HttpOnly; SameSite=Lax; Secure\r\n",
        secure.pool.sessions.cookie(request, secure.pool.backends[0]),
    )


def test_another_when_it_is_down_and_the_cookie_anew() -> None:
    client = Client(pool_of("abc"))
    home, _ = client.ask()
    assert home is not None
    home.is_up = False
    new, line = client.ask()
    assert new is not home and line
    home.is_up = True
    assert client.ask() == (new, b""), "its session is with the new one now"


def test_a_retry_goes_elsewhere() -> None:
    client = Client(pool_of("ab"))
    home, _ = client.ask()
    assert home is not None
    second, line = client.ask(home)
    assert second is not None and second is not home and line
    assert client.ask(home, second)[0] is second, "all tried as often: its own"
    assert client.ask(second, second, home)[0] is home


def test_draining_keeps_its_sessions_and_gets_no_new_ones() -> None:
    pool = pool_of("ab")
    client = Client(pool)
    home, _ = client.ask()
    assert home is not None
    home.believe(State.DRAINING)
    assert [client.ask() for _ in range(2)] == [(home, b""), (home, b"")]
    assert {Client(pool).ask()[0] for _ in range(5)} == set(pool.backends) - {home}
    for backend in pool.backends:
        backend.believe(State.DRAINING)
    assert client.ask() == (home, b""), "also when nobody else is left"
    assert Client(pool).ask() == (None, b"")
    assert client.ask(home) == (None, b""), "it was tried"
    home.is_up = False
    assert client.ask() == (None, b"")


def test_draining_and_full_or_marked() -> None:
    pool = make_pool(pool_spec("ab", "sticky", max_conns=1))
    assert pool.sessions is not None
    pool.sessions.use_key(KEY)
    client = Client(pool)
    home, _ = client.ask()
    assert home is not None
    home.believe(State.DRAINING)
    pool.acquire(home)
    assert client.ask()[0] not in (None, home)
    pool.release(home)


def test_the_only_one_left_is_draining_and_full() -> None:
    """Its sessions can wait for it, and nobody else."""
    pool = make_pool(pool_spec("a", "sticky", max_conns=1))
    assert pool.sessions is not None
    pool.sessions.use_key(KEY)
    client = Client(pool)
    (home,) = pool.backends
    client.ask()
    home.believe(State.DRAINING)
    pool.acquire(home)
    asked = client.request()
    assert pool.select(asked, 0.0) is None
    assert pool.why_not(0.0, asked) is FailureKind.FULL
    assert pool.explain(FailureKind.FULL) == "the backend of the session is draining and at max_conns"
    assert pool.why_not(0.0, Client(pool).request()) is FailureKind.NO_BACKEND
    assert pool.why_not(0.0, asked, (home,)) is FailureKind.NO_BACKEND, "it was tried"
    home.believe(State.DOWN)
    assert pool.why_not(0.0, asked) is FailureKind.NO_BACKEND
    pool.release(home)
    home.believe(State.DRAINING)
    assert not pool.sessions.is_awaited(asked, (), 0.0), "it has room"


def test_draining_with_an_open_breaker() -> None:
    passive = PassiveSpec(breaker=BreakerSpec(minimum=1, open=5.0))
    pool = make_pool(pool_spec("ab", "sticky", passive=passive))
    assert pool.sessions is not None
    pool.sessions.use_key(KEY)
    client = Client(pool)
    home, _ = client.ask()
    assert home is not None
    home.believe(State.DRAINING)
    assert client.ask()[0] is home
    home.succeed(0.0, 0.1, None, "answered 500")
    assert not home.may_finish(0.0)
    assert client.ask()[0] not in (None, home)


def test_who_has_left_the_pool_gets_no_cookie() -> None:
    before = pool_of("ab")
    after = pool_of("a", previous=before)
    (left,) = set(before.backends) - set(after.backends)
    assert before.sessions is not None and after.sessions is not None
    assert before.sessions.cookie(Request(), left)
    assert after.sessions.cookie(Request(), left) == b""
    assert after.sessions.cookie(Request(), after.backends[0])


def test_fallbacks_keep_the_sessions_that_began_with_them() -> None:
    pool = make_pool(pool_spec("ab", "sticky", fallbacks=1))
    assert pool.sessions is not None
    pool.sessions.use_key(KEY)
    pool.backends[0].is_up = False
    client = Client(pool)
    assert client.ask()[0] is pool.backends[1]
    pool.backends[0].is_up = True
    assert client.ask() == (pool.backends[1], b"")
    assert Client(pool).ask()[0] is pool.backends[0]


def test_ttl_on_both_sides() -> None:
    client = Client(pool_of("abcdefgh", "ttl=100s"))
    home, _ = client.ask()
    client.wall += 50.0
    assert client.ask() == (home, b""), "half of it is left"
    client.wall += 0.5
    renewed = client.ask()
    assert renewed[0] is home and renewed[1], "set anew: the session is in use"
    client.wall += 99.0
    old = client.cookie
    assert client.ask()[0] is home
    client.cookie = old
    client.wall += 1.0
    backends = set()
    for _ in range(8):
        client.cookie = old
        backend, line = client.ask()
        assert line
        backends.add(backend)
    assert len(backends) == 8, "over: it takes turns"


def test_a_cookie_without_an_end_is_worth_nothing_where_there_is_a_ttl_now() -> None:
    client = Client(pool_of("ab"))
    client.ask()
    client.pool = pool_of("ab", "ttl=1h")
    assert client.ask()[1]


@given(st.binary(max_size=80))
def test_what_is_not_ours_counts_for_nothing(value: bytes) -> None:
    pool = pool_of("abc")
    client = Client(pool)
    taken = set()
    for _ in range(3):
        client.cookie = b"posthouse=" + value.replace(b";", b"")
        backend, line = client.ask()
        assert line
        taken.add(backend)
    assert taken == set(pool.backends)


def test_every_bit_of_it_counts() -> None:
    client = Client(pool_of("abc"))
    client.ask()
    cookie = client.cookie
    name_ends = cookie.index(b"=") + 1
    for at in range(name_ends, len(cookie) - 1):  # the last character has bits that mean nothing
        client.cookie = cookie[:at] + bytes([cookie[at] ^ 1]) + cookie[at + 1 :]
        assert client.ask()[1], client.cookie


def test_another_key_other_sessions() -> None:
    client = Client(pool_of("abc"))
    client.ask()
    client.pool = pool_of("abc", key=b"another key, from another machine")
    assert client.ask()[1]


def test_the_same_key_the_same_sessions_in_every_process() -> None:
    client = Client(pool_of("abc"))
    home, _ = client.ask()
    assert home is not None
    client.pool = pool_of("cxba")
    again = client.ask()
    assert again[0] is not None and again[0].name == home.name and not again[1]
    client.pool = pool_of("xyz")
    assert client.ask()[1], "it left"


def test_the_same_address_twice_is_two() -> None:
    pool = pool_of("aa")
    clients = [Client(pool), Client(pool)]
    assert clients[0].ask()[0] is not clients[1].ask()[0]
    assert clients[0].cookie != clients[1].cookie


def test_nothing_of_the_address_is_in_it() -> None:
    one, other = Client(pool_of(["secret-host"])), Client(pool_of(["secret-host"], key=b"x" * 32))
    one.ask()
    other.ask()
    assert b"secret" not in one.cookie
    assert one.cookie.split(b".")[0] != other.cookie.split(b".")[0], "without the key nobody can guess it"


def test_without_a_key_nothing_is_believed_or_set() -> None:
    pool = make_pool(pool_spec("ab", "sticky"))
    client = Client(pool)
    client.cookie = b"posthouse=x.0."
    assert {client.ask() for _ in range(4)} == {(backend, b"") for backend in pool.backends}
