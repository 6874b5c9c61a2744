"""A visit made of plain values: what a step sees, and what it does to it."""

from __future__ import annotations

from collections.abc import Mapping

from posthouse.errors import ProtocolError
from posthouse.protocol.h1 import Codec, RequestHead
from posthouse.protocol.target import Targets
from posthouse.proxy.answer import Answer, Visit
from unit.observe.fake_subject import FakeSubject
from unit.proxy.samples import read_head

TARGETS = Targets()


class FakeVisit(FakeSubject):
    """A GET of `target`. moved: targets it was sent to; resumed: what it was told after waiting."""

    def __init__(
        self, target: str = "/", fields: Mapping[str, str] | None = None, host: str = "x.test"
    ) -> None:
        raw = target.encode("latin-1")
        named = {name.lower().encode(): value.encode("latin-1") for name, value in (fields or {}).items()}
        super().__init__(target=raw, rewrite_target=raw, host=host, user="", fields=named)
        self.moved: list[bytes] = []
        self.resumed: list[Answer | None] = []
        self.is_finished = False
        self._aim(raw)

    def _aim(self, raw: bytes) -> None:
        target = TARGETS.judge(raw)
        self.key, self.path, self.wire_path = target.key, target.path, target.wire_path
        self.query = target.query
        self.rewrite_target = self.wire_path + self.query

    @property
    def head(self) -> RequestHead:
        return read_head("GET / HTTP/1.1\nHost: x", Codec())

    def retarget(self, target: bytes) -> bool:
        try:
            self._aim(target)
        except ProtocolError:
            return False
        self.moved.append(target)
        return True

    def authenticate(self, user: str) -> None:
        self.user = user

    def resume(self, answer: Answer | None) -> None:
        assert not self.is_finished
        self.resumed.append(answer)


def as_visit(fake: FakeVisit) -> Visit:
    """The type checker's proof that a `FakeVisit` is a `Visit`."""
    return fake
