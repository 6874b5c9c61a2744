from __future__ import annotations

from posthouse.balance.lanes import warm_key
from unit.balance.samples import make_backend


def test_another_identity_has_other_connections() -> None:
    backend = make_backend()
    assert warm_key(backend, None) is backend
    assert len({warm_key(backend, None), warm_key(backend, "a"), warm_key(backend, "b")}) == 3
    assert warm_key(backend, "a") == warm_key(backend, "a") != warm_key(make_backend(), "a")
