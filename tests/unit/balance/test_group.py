"""What a group is made of: here the real ones have to be what the protocols say (mypy), and keep their laws."""

from __future__ import annotations

from posthouse.balance.group import Group, Line, Place
from unit.balance.samples import pool_spec
from unit.server.fellows import Fellows


def test_what_one_publishes_all_others_read() -> None:
    fellows = Fellows(pool_spec("ab", max_conns=3))
    keys = [backend.key for backend in fellows[0].pool.backends]
    groups: list[Group] = []
    for fellow in fellows:
        group = fellow.shares.group(fellows.spec.name, keys)
        assert group is not None
        groups.append(group)
    places: list[Place] = [group.places[1] for group in groups]
    places[0].publish(1)
    assert places[2].give_back(5) == 1
    assert [place.others() for place in places] == [5, 6, 1]
    assert [list(group.others()) for group in groups] == [[0, 5], [0, 6], [0, 1]]
    assert places[1].claim(0, 7) and not places[1].claim(1, 7)
    assert places[0].others() == 6
    lines: list[Line] = [group.line for group in groups]
    lines[2].publish(2, 4.5)
    assert [line.others() for line in lines] == [[(4.5, 2)], [(4.5, 2)], []]
    assert lines[0].claim(0, 3) and not lines[1].claim(0, 3)
    assert [line.length() for line in lines] == [3, 3, 3]
    lines[2].publish(0, 0.0)
    assert lines[0].others() == []
    fellows.close()
