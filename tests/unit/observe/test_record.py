"""`Subject` names what logs may ask; an object with plain attributes is one."""

from __future__ import annotations

from posthouse.observe.record import Subject
from unit.observe.fake_subject import FakeSubject, as_subject


def test_an_object_of_plain_attributes_is_a_subject() -> None:
    subject: Subject = as_subject(FakeSubject())
    asked = {name for name in vars(Subject) if not name.startswith("_")}
    assert asked == {name for name in asked if hasattr(subject, name)}


def test_the_names_are_these() -> None:
    values = "site method target rewrite_target version scheme host peer peer_port client_ip request_id user"
    outcome = "status size upstream attempts failure queue_ms wall started finished"
    functions = "field response_field request_body request_head"
    names = {name for name in vars(Subject) if not name.startswith("_")}
    assert names == set(f"{values} {outcome} {functions}".split())
