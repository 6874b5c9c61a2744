"""ReloadCount: how often the configuration was swapped, and when it last went well."""

from __future__ import annotations

from posthouse.observe.snapshot import Rows


class ReloadCount:
    """taken_at  when the configuration that serves was taken on, seconds since 1970; 0.0: none serves yet"""

    __slots__ = ("failed", "is_last_good", "succeeded", "taken_at")

    def __init__(self) -> None:
        self.succeeded = self.failed = 0
        self.is_last_good = True
        self.taken_at = 0.0

    def __repr__(self) -> str:
        return f"<ReloadCount succeeded={self.succeeded} failed={self.failed}>"

    def start(self, wall: float) -> None:
        """The first configuration serves."""
        self.taken_at = wall

    def succeed(self, wall: float) -> None:
        """Another one serves."""
        self.succeeded += 1
        self.is_last_good = True
        self.taken_at = wall

    def fail(self) -> None:
        """The one before goes on serving."""
        self.failed += 1
        self.is_last_good = False

    def rows(self) -> dict[str, Rows]:
        """For metrics."""
        return {
            "posthouse_reloads_total": {("success",): self.succeeded, ("failure",): self.failed},
            "posthouse_last_reload_successful": {(): int(self.is_last_good)},
            "posthouse_last_reload_success_timestamp_seconds": {(): self.taken_at},
        }
