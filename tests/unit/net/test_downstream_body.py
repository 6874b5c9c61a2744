"""Bodies of requests in turns: a read full of tiny chunks. What bodies mean is in test_downstream_h1.py."""

from __future__ import annotations

from posthouse.errors import FailureKind
from posthouse.protocol.chunked import CHUNKS_AT_ONCE
from unit.net.fakes import OK, Client, FakePlan, answer_at_end, wait
from unit.net.messages import CHUNKED_HEAD, GET


def test_so_many_chunks_are_read_in_a_turn() -> None:
    client = Client(plan := FakePlan(wait))
    client.wire.feed(CHUNKED_HEAD + b"1\r\na\r\n" * (2 * CHUNKS_AT_ONCE + 1) + b"0\r\n\r\n" + GET)
    assert plan.last.events[1:] == [("body", b"a" * CHUNKS_AT_ONCE)]
    assert client.wire.is_paused
    client.stand.turn()
    assert plan.last.events[1:] == [("body", b"a" * (2 * CHUNKS_AT_ONCE + 1)), ("end", [])]
    plan.react = answer_at_end
    plan.last.answer()
    client.stand.turn()
    assert client.wire.take() == OK * 2
    assert not client.wire.is_paused


def test_chunks_that_arrive_later_are_cut_into_turns_too() -> None:
    client = Client(plan := FakePlan())
    client.wire.feed(CHUNKED_HEAD)
    client.wire.feed(b"1\r\na\r\n" * (CHUNKS_AT_ONCE + 1))
    assert client.wire.is_paused
    client.stand.turn()
    assert not client.wire.is_paused, "what is there is read: the client may go on"
    assert client.send(b"0\r\n\r\n") == OK
    assert plan.last.events[1:] == [("body", b"a" * (CHUNKS_AT_ONCE + 1)), ("end", [])]


def test_a_bad_chunk_in_a_later_turn() -> None:
    client = Client(plan := FakePlan())
    client.wire.feed(CHUNKED_HEAD + b"1\r\na\r\n" * CHUNKS_AT_ONCE + b"x\r\n")
    client.stand.turn()
    assert plan.last.events[-1] == ("broken", 400, FailureKind.CLIENT_MALFORMED)


def test_an_early_answer_while_chunks_wait() -> None:
    """The rest is dropped, and the next request answered."""
    client = Client(plan := FakePlan(wait))
    client.wire.feed(CHUNKED_HEAD + b"1\r\na\r\n" * (CHUNKS_AT_ONCE * 3) + b"0\r\n\r\n" + GET)
    plan.react = answer_at_end
    plan.last.answer()
    client.stand.turn()
    assert client.wire.take() == OK * 2


def test_a_client_that_leaves_while_chunks_wait() -> None:
    client = Client(plan := FakePlan(wait))
    client.wire.feed(CHUNKED_HEAD + b"1\r\na\r\n" * (CHUNKS_AT_ONCE + 1))
    client.wire.lose()
    client.stand.turn()
    assert plan.last.names == ["head", "body", "lost"]
