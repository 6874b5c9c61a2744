from __future__ import annotations

from posthouse.observe.snapshot import Rows
from posthouse.server.reload_count import ReloadCount


def told(reloads: ReloadCount) -> list[Rows]:
    return list(reloads.rows().values())


def test_they_are_counted_by_result() -> None:
    reloads = ReloadCount()
    reloads.start(1000.0)
    assert told(reloads) == [{("success",): 0, ("failure",): 0}, {(): 1}, {(): 1000.0}]
    reloads.fail()
    reloads.fail()
    assert told(reloads) == [{("success",): 0, ("failure",): 2}, {(): 0}, {(): 1000.0}]
    reloads.succeed(2000.0)
    assert told(reloads) == [{("success",): 1, ("failure",): 2}, {(): 1}, {(): 2000.0}]
    assert repr(reloads) == "<ReloadCount succeeded=1 failed=2>"
