"""What a worker is made of, as small protocols: `server/process.py` has the real ones, tests have their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from posthouse.config.specs import Config, HookSpec
from posthouse.observe.process_log import ProcessLog
from posthouse.server.listeners import Listener
from posthouse.server.sockets import ListenKey


@dataclass(frozen=True, slots=True)
class AdminPlace:
    """Where the admin socket is to be.

    config     the absolute path of the configuration; None: it did not come from a file
    is_wanted  named on the command line: without it there is no start
    """

    path: str
    config: str | None
    is_wanted: bool


class Loaded(Protocol):
    """A configuration that was read, with the files it came from (name to text)."""

    @property
    def config(self) -> Config: ...
    @property
    def sources(self) -> Mapping[str, str]: ...


class Serving(Protocol):
    """What a worker needs of `server.generation.Generation`."""

    @property
    def number(self) -> int: ...
    @property
    def listen(self) -> tuple[ListenKey, ...]: ...
    @property
    def in_flight(self) -> int: ...
    def handler(self, key: ListenKey) -> Any: ...
    def start(self) -> None: ...
    def retire(self, successor: Any = None) -> None: ...


class Commands(Protocol):
    """What a worker needs of `server.hooks.Hooks`."""

    async def start_up(self, hooks: Sequence[HookSpec]) -> None:
        """Run them one after the other. Raises ConfigError at the first that fails."""

    async def shut_down(self, hooks: Sequence[HookSpec]) -> None:
        """Run them, for a limited time."""


class Admin(Protocol):
    """What a worker needs of `admin.server.AdminServer`."""

    def claim(self) -> None:
        """Make the socket. Raises StartError."""

    async def serve(self) -> None: ...
    def close(self) -> None: ...


class Parts(Protocol):
    """What a worker is made of, and whom it tells: handed in by the command."""

    @property
    def log(self) -> ProcessLog: ...
    @property
    def hooks(self) -> Commands: ...
    @property
    def admin(self) -> Admin | None: ...

    async def prepare(self, config: Config) -> None:
        """Ask for what is found at run time; waits a little for it, and for nothing for ever."""

    def build(self, config: Config, previous: Any) -> Serving:
        """A generation that does not serve yet. Raises ConfigError or StartError."""

    def listener(self, plan: Any) -> Listener:
        """A listening address that hands its connections to `plan`."""

    def load(self) -> Loaded | None:
        """Read the configuration again, in a thread; None: it did not come from a file.

        Raises ConfigError or StartError.
        """

    def reopen_logs(self) -> None:
        """Open the files of all logs again, by name."""

    def announce(self, ready: str) -> None:
        """Print the ready line."""
