"""What is handed between sources and their worker: values."""

from __future__ import annotations

from posthouse.discovery.ports import Answer, ServiceRecord


def test_records_are_ordered_by_priority_first() -> None:
    records = [ServiceRecord(2, 1, "a", 1), ServiceRecord(1, 9, "b", 1), ServiceRecord(1, 1, "c", 1)]
    assert [record.target for record in sorted(records)] == ["c", "b", "a"]


def test_equal_answers_are_equal() -> None:
    assert Answer(("127.0.0.1",), 1.0) == Answer(("127.0.0.1",), 1.0)
