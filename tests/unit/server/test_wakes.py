from __future__ import annotations

import os
import select

from posthouse.server.wakes import Wakes, make


def test_several_wakes_are_one() -> None:
    wakes = make(2)
    others = Wakes([os.dup(one) for one in wakes.descriptors])
    assert wakes.take(0) == 0
    others.wake(0)
    others.wake(0)
    assert select.select(wakes.descriptors, [], [], 0)[0] == [wakes.descriptors[0]]
    assert (wakes.take(0), wakes.take(0), wakes.take(1)) == (2, 0, 0)
    others.wake_all()
    assert (wakes.take(0), wakes.take(1)) == (1, 1)
    wakes.close()
    wakes.close()
    others.close()


def test_one_that_never_looks_is_in_nobodys_way() -> None:
    wakes = make(1)
    os.eventfd_write(wakes.descriptors[0], 2**64 - 2)
    wakes.wake(0)
    assert wakes.take(0) == 2**64 - 2
    wakes.close()
