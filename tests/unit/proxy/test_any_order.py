"""Exchanges under events in any order: whatever happens, and whenever, the laws hold.

The machine plays both peers and the clock; it does at random what the connections could do at that moment.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.balance.backend import Backend
from posthouse.balance.trials import Trials
from posthouse.config.specs import BreakerSpec, LimitsSpec, RetrySpec
from posthouse.errors import FailureKind
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead
from posthouse.proxy.answer import Encoder
from posthouse.proxy.attempts import PENDING_BYTES
from posthouse.proxy.exchange import Exchange
from posthouse.proxy.ports import CODING, NO_PEER, PEER_FULL
from unit.proxy.peers import Connection
from unit.proxy.playbook import Play
from unit.proxy.samples import OFF, route

MUCH = b"a" * PENDING_BYTES
LENGTH = len(MUCH) + 9
SECONDS = st.sampled_from([0.05, 0.3, 1.1, 4.0])
BROKEN = [
    FailureKind.RESET,
    FailureKind.RESPONSE_TIMEOUT,
    FailureKind.MALFORMED,
    FailureKind.TRUNCATED,
    FailureKind.IDLE_TIMEOUT,
]
NOT_DIALLED = [FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT, FailureKind.DNS]


class Coder:
    """`gzip` of a site, and an encoder that leaves everything as it is, so that bytes can be compared."""

    def find(self, key: str) -> Coder:
        return self

    def begin(
        self, head: RequestHead, status: int, fields: list[Field], length: int
    ) -> tuple[list[Field], Encoder | None]:
        return fields, self

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self, data: bytes = b"") -> bytes:
        return data


class AnyOrder(RuleBasedStateMachine):
    """One client that sends one request after the other."""

    play: Play
    exchange: Exchange

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.sent = b""
        self.answered = b""
        self.first = 0
        """Index of the first connection of the current exchange."""
        self.attempts_at_answer: int | None = None
        self.others: list[tuple[Backend, Trials | None]] = []

    @initialize(
        hosts=st.integers(1, 3),
        duration=st.sampled_from([0.0, 2.0, 100.0]),
        facts=st.fixed_dictionaries(
            {
                "fail_timeout": st.sampled_from([0.0, 1.0]),
                "max_conns": st.sampled_from([0, 1]),
                "keepalive": st.sampled_from([0, 1]),
                "exchange": st.sampled_from([None, 5.0]),
                "replay_limit": st.sampled_from([0, 4, 1 << 20]),
                "count": st.sampled_from([None, 3]),
                "kinds": st.sampled_from([RetrySpec().kinds, ("connect", "503")]),
                "breaker": st.sampled_from([None, BreakerSpec(minimum=1, open=1.0)]),
                "panic": st.booleans(),
            }
        ),
        limit=st.sampled_from([None, 5]),
        is_coded=st.booleans(),
        data=st.data(),
    )
    def begin(
        self,
        hosts: int,
        duration: float,
        facts: dict[str, Any],
        limit: int | None,
        is_coded: bool,
        data: st.DataObject,
    ) -> None:
        limits = LimitsSpec(body=(("/", limit),) if limit else ())
        self.play = Play(route(*"abc"[:hosts], duration=duration, **facts), limits=limits)
        self.play.routes[0].pool.start()  # others may hold a backend before the first request gets as far
        if is_coded:
            self.play.site.compressions = Coder()
        self.request(data)

    def request(self, data: st.DataObject) -> None:
        """A request of any kind comes."""
        method = data.draw(st.sampled_from(["GET", "HEAD", "PUT", "POST"]))
        framing = data.draw(st.sampled_from(["", f"Content-Length: {LENGTH}", "Transfer-Encoding: chunked"]))
        lines = [f"{method} / HTTP/1.1", "Host: x"]
        if framing:
            lines.append(framing)
            if data.draw(st.booleans()):
                lines.append("Expect: 100-continue")
        elif method == "GET" and data.draw(st.booleans()):
            lines += ["Connection: Upgrade", "Upgrade: websocket"]
        for _ in range(data.draw(st.integers(0, 2))):
            self.play.warm("a")
        first = data.draw(st.sampled_from([b"", b"abc", MUCH])) if framing else b""
        self.sent = first
        self.first = len(self.play.world.connections)
        self.attempts_at_answer = None
        self.answered = b""
        self.begun += 1
        self.exchange = self.play.request(*lines, body=first, more=bool(framing))

    # -- what is true now ----------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection | None:
        """What carries the exchange."""
        running = [one for one in self.play.world.connections if one.exchange is self.exchange]
        assert len(running) <= 1
        return running[0] if running else None

    def is_in(self, *states: str) -> bool:
        connection = self.connection
        return connection is not None and connection.state in states

    def can_send(self) -> bool:
        """Whether the client may send more of its body."""
        return not self.play.client.has_whole_request and self.play.client.exchange is not None

    def left(self) -> int:
        return LENGTH - len(self.sent) if not self.exchange.head.fields.is_chunked else 100

    # -- the backend ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.play.dialled())
    @rule()
    def connects(self) -> None:
        self.play.connect(self.play.dialled()[0])

    @precondition(lambda self: self.play.dialled())
    @rule(kind=st.sampled_from(NOT_DIALLED))
    def does_not_connect(self, kind: FailureKind) -> None:
        self.play.refuse(self.play.dialled()[0], kind)

    @precondition(lambda self: self.is_in("head"))
    @rule(status=st.sampled_from(["100 Continue", "103 Early Hints"]))
    def informs(self, status: str) -> None:
        assert self.connection is not None
        self.connection.informs(status)

    @precondition(lambda self: self.is_in("head"))
    @rule(
        status=st.sampled_from(["200 OK", "204 No Content", "503 Service Unavailable"]),
        body=st.sampled_from([b"", b"12", MUCH]),
        more=st.booleans(),
    )
    def answers(self, status: str, body: bytes, more: bool) -> None:
        connection = self.connection
        assert connection is not None
        if connection.is_bodiless or status.startswith("204"):
            connection.answers(status, body=None)
        else:
            self.answered = body
            connection.answers(status, body=body, more=more)
        if not (self.exchange.is_answering or self.exchange.is_finished):
            self.answered = b""  # passed over: another backend is asked

    @precondition(lambda self: self.is_in("body"))
    @rule(data=st.binary(min_size=1, max_size=3) | st.just(MUCH))
    def sends(self, data: bytes) -> None:
        assert self.connection is not None
        self.answered += data
        self.connection.sends(data)

    @precondition(lambda self: self.is_in("body"))
    @rule()
    def ends(self) -> None:
        assert self.connection is not None
        self.connection.ends()

    @precondition(lambda self: self.is_in("head", "body"))
    @rule(kind=st.sampled_from(BROKEN))
    def breaks(self, kind: FailureKind) -> None:
        assert self.connection is not None
        self.connection.breaks(kind)

    @precondition(lambda self: self.is_in("head", "body"))
    @rule(is_full=st.booleans())
    def reads(self, is_full: bool) -> None:
        connection = self.connection
        assert connection is not None
        if is_full:
            connection.stops_reading()
        else:
            connection.reads_on()

    @precondition(lambda self: self.is_in("head"))
    @rule(protocol=st.sampled_from(["websocket", "other"]))
    def upgrades(self, protocol: str) -> None:
        assert self.connection is not None
        self.connection.upgrades("Connection: Upgrade", f"Upgrade: {protocol}")

    @precondition(lambda self: self.play.client.is_tunnel)
    @rule()
    def tunnel_ends(self) -> None:
        self.play.lose_tunnel()

    # -- others who use the backends -----------------------------------------------------------------------------

    @precondition(lambda self: any(not one.is_full for one in self.play.backends))
    @rule(data=st.data())
    def another_comes(self, data: st.DataObject) -> None:
        backend = data.draw(st.sampled_from([one for one in self.play.backends if not one.is_full]))
        self.others.append((backend, backend.acquire()))

    @precondition(lambda self: self.others)
    @rule(data=st.data())
    def another_goes(self, data: st.DataObject) -> None:
        self.go(data.draw(st.integers(0, len(self.others) - 1)))

    def go(self, place: int) -> None:
        backend, trial = self.others.pop(place)
        if trial is not None:
            backend.abandon(trial, self.play.world.now)
        backend.release()

    # -- the client ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.can_send() and self.left() > 1)
    @rule(size=st.integers(1, 4))
    def client_sends(self, size: int) -> None:
        data = b"defghijkl"[: min(size, self.left() - 1)]
        self.sent += data
        self.play.client.sends(data)

    @precondition(lambda self: self.can_send())
    @rule()
    def client_ends(self) -> None:
        if not self.exchange.head.fields.is_chunked:
            last = b"z" * self.left()
            self.sent += last
            # As the connection has it: what the last bytes set off finds the whole request there.
            self.play.client.has_whole_request = True
            self.exchange.on_request_body(last)
        if self.play.client.exchange is not None:
            self.play.client.ends(*([Field(b"X-Sum", b"1")] if self.exchange.head.fields.is_chunked else []))

    @precondition(lambda self: self.can_send())
    @rule(how=st.sampled_from([(400, FailureKind.CLIENT_MALFORMED), (408, FailureKind.CLIENT_TIMEOUT)]))
    def client_breaks(self, how: tuple[int, FailureKind]) -> None:
        self.play.client.breaks(*how)

    @precondition(lambda self: self.play.client.exchange is not None)
    @rule(kind=st.sampled_from([FailureKind.CLIENT_GONE, FailureKind.CLIENT_TIMEOUT]))
    def client_leaves(self, kind: FailureKind) -> None:
        self.play.client.leaves(kind)

    @precondition(lambda self: self.play.client.exchange is not None)
    @rule(is_full=st.booleans())
    def client_reads(self, is_full: bool) -> None:
        if is_full:
            self.play.client.stops_reading()
        else:
            self.play.client.reads_on()

    @precondition(lambda self: self.exchange.is_finished)
    @rule(data=st.data())
    def comes_again(self, data: st.DataObject) -> None:
        client = self.play.client
        if client.is_gone or not client.is_persistent or client.wire.protocol is not None:
            self.play.client = type(client)(self.play.world)
        client.blocked.clear()
        self.request(data)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.play.world.pass_time(seconds)

    @precondition(lambda self: self.exchange.is_finished)
    @rule(number=st.integers(0, 3))
    def a_late_word_changes_nothing(self, number: int) -> None:
        exchange = self.exchange
        was = (exchange.status, exchange.size, exchange.attempts, len(self.play.client.answers))
        late = [
            lambda: exchange.on_request_body(b"late"),
            lambda: exchange.on_request_end([]),
            lambda: exchange.on_downstream_lost(FailureKind.CLIENT_GONE),
            exchange.on_downstream_ready,
        ]
        late[number]()
        assert was == (exchange.status, exchange.size, exchange.attempts, len(self.play.client.answers))

    # -- the laws ------------------------------------------------------------------------------------------------

    @invariant()
    def a_backend_is_held_exactly_while_it_is_used(self) -> None:
        running = self.play.world.running(self.exchange)
        assert len(running) <= 1, "never two attempts at once"
        waiter = self.exchange.waiter
        has_turn = waiter is not None and waiter.backend is not None
        assert not (has_turn and running)
        assert sum(self.play.held().values()) == len(running) + has_turn + len(self.others)
        if not running:
            assert self.exchange.backend is None and self.exchange.connection is None

    @invariant()
    def each_exchange_is_finished_once(self) -> None:
        assert self.play.tally.in_flight == (not self.exchange.is_finished)
        assert len(self.play.recorded.lines) == self.begun - self.play.tally.in_flight
        assert self.exchange.is_finished == (
            self.play.client.exchange is None and not self.play.client.is_tunnel
        )

    @invariant()
    def at_the_end_nothing_is_left(self) -> None:
        if self.exchange.is_finished:
            others = [backend for backend, _ in self.others]
            while self.others:
                self.go(0)
            self.play.over()
            self.others = [(backend, backend.acquire()) for backend in others]
            assert self.exchange.status >= 101

    @invariant()
    def nobody_waits_while_a_backend_is_free(self) -> None:
        pool = self.play.routes[0].pool
        assert not (len(pool.queue) and any(one.is_usable for one in pool.backends))
        assert not (len(pool.queue) and self.exchange.is_finished)

    @invariant()
    def something_always_goes_on(self) -> None:
        """An exchange that runs waits for somebody who has a limit."""
        if self.exchange.is_finished:
            return
        client, connection = self.play.client, self.connection
        has_clients_time = client.is_full and client.stall_limit < OFF
        has_timer = bool(self.play.world.live_timers())
        assert self.play.world.running(self.exchange) or has_timer or has_clients_time
        if connection is not None and connection.state in ("head", "body"):
            is_clients_turn = not client.has_whole_request and not client.blocked
            is_being_coded = CODING in connection.blocked and has_timer
            assert connection.deadline < OFF or is_clients_turn or has_clients_time or is_being_coded
            assert CODING not in connection.blocked or has_timer or client.is_full

    @invariant()
    def each_backend_gets_the_whole_body_so_far(self) -> None:
        connection = self.connection
        if connection is not None and connection.state in ("head", "body"):
            assert connection.body == self.sent
            assert connection.is_complete == self.play.client.has_whole_request
            assert NO_PEER not in self.play.client.blocked

    @invariant()
    def nobody_pauses_for_a_peer_that_is_gone(self) -> None:
        connection, client = self.connection, self.play.client
        if connection is None:
            assert PEER_FULL not in client.blocked
        elif connection.state in ("head", "body"):
            has_body = self.exchange.body is not None
            assert (PEER_FULL in client.blocked) == (connection.is_full and has_body)
            assert (PEER_FULL in connection.blocked) == client.is_full

    @invariant()
    def the_client_gets_what_one_backend_sent(self) -> None:
        if self.exchange.response is not None and self.exchange.status != 101 and self.play.client.answers:
            answer = self.play.client.answers[-1]
            assert self.exchange.size == len(answer.body)
            if self.play.site.compressions is None or answer.is_complete:
                assert answer.body == self.answered
            else:
                assert self.answered.startswith(answer.body), "the rest is still being coded"

    @invariant()
    def a_trial_runs_only_while_its_backend_is_held(self) -> None:
        for backend in self.play.backends:
            trials = backend.comeback.trials
            assert trials is None or 0 <= trials.running <= backend.in_flight

    @invariant()
    def what_is_not_safe_is_not_sent_twice(self) -> None:
        handed_over = self.play.world.connections[self.first :]
        if self.exchange.method == b"POST":
            assert len(handed_over) <= 1
        if self.exchange.is_answering:
            attempts = len(handed_over) + len(self.play.world.dials)
            assert self.attempts_at_answer in (None, attempts), "nothing is tried after the answer has begun"
            self.attempts_at_answer = attempts

    def teardown(self) -> None:
        if not hasattr(self, "exchange"):
            return
        if self.play.client.is_tunnel:
            self.play.lose_tunnel()
        self.play.client.leaves()
        self.at_the_end_nothing_is_left()
        self.each_exchange_is_finished_once()


AnyOrder.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=25,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestAnyOrder = AnyOrder.TestCase
