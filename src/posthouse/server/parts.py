"""What a supervisor and a worker are made of, as small protocols: `server/group.py` and `server/process.py` have the
real ones, tests have their own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from posthouse.balance.orders import Orders
from posthouse.balance.pool import Pool
from posthouse.config.delta import Delta
from posthouse.config.specs import Config, HookSpec
from posthouse.observe.process_log import ProcessLog
from posthouse.observe.snapshot import Snapshot
from posthouse.server.beliefs import Known
from posthouse.server.child import Child
from posthouse.server.control import Collected, Prepare, ReopenLog
from posthouse.server.listeners import Listener
from posthouse.server.origin import Origin
from posthouse.server.pressure import Relief
from posthouse.server.service_manager import ServiceManager
from posthouse.server.sockets import ListenKey
from posthouse.server.told import Believed, Found

if TYPE_CHECKING:
    from posthouse.server.predecessor import Predecessor


@dataclass(frozen=True, slots=True)
class AdminPlace:
    """Where the admin socket is to be.

    config     the absolute path of the configuration; None: it did not come from a file
    is_wanted  named on the command line: without it there is no start
    """

    path: str
    config: str | None
    is_wanted: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says of the group.

    workers    how many
    grace      seconds that stopping waits for exchanges
    is_quiet   no ready line
    heartbeat  seconds after which a worker that does not answer is replaced; 0 = never
    admin      where the admin socket is to be; None: there is none
    admin_listen  IP address and port for metrics, health and readiness; None: nowhere
    bound      sockets that listen already, by address: one for each slot, or one for all
    predecessor  whose place it takes; None: nobody's
    """

    workers: int = 1
    grace: float = 30.0
    pidfile: str = ""
    is_watching: bool = False
    is_quiet: bool = False
    heartbeat: float = 0.0
    bound: Mapping[ListenKey, Sequence[socket.socket]] = field(default_factory=dict)
    admin: AdminPlace | None = None
    admin_listen: tuple[str, int] | None = None
    predecessor: Predecessor | None = None


class Loaded(Protocol):
    """A configuration that was read, with the files it came from (name to text)."""

    @property
    def config(self) -> Config: ...
    @property
    def sources(self) -> Mapping[str, str]: ...


class Commands(Protocol):
    """What a supervisor needs of `server.hooks.Hooks`."""

    async def start_up(self, hooks: Sequence[HookSpec]) -> None:
        """Run them one after the other. Raises ConfigError at the first that fails."""

    async def shut_down(self, hooks: Sequence[HookSpec]) -> None:
        """Run them, for a limited time."""


class Admin(Protocol):
    """What a supervisor needs of `admin.server.AdminServers`."""

    def claim(self) -> None:
        """Make the socket. Raises StartError."""

    async def serve(self) -> None: ...
    def listening(self) -> Mapping[tuple[str, int], socket.socket]:
        """Where it answers on TCP, by address."""

    def give_up(self) -> None:
        """Answer no more; another process may."""

    def close(self) -> None: ...


class Scout(Protocol):
    """What a supervisor needs of `server.lookout.Lookout`."""

    def welcome(self, child: Child) -> None:
        """A worker has been started, and was told nothing else yet."""

    def expect(self, beliefs: Known) -> None:
        """What another process has found of backends: the first checks go on from it."""

    def beliefs(self) -> Known:
        """What is believed of backends that are not up."""

    async def ask(self, config: Config) -> None:
        """Ask the sources that are new, for a limited time, and tell the workers, before these build it."""

    async def prepare(self, config: Config) -> None:
        """Get ready to ask its backends. Raises ConfigError or StartError."""

    def commit(self) -> None:
        """What was prepared is served."""

    def abandon(self) -> None:
        """It will not be."""

    def report(self) -> Mapping[str, Mapping[str, Any]]:
        """By pool: its `sources`, and by backend the last `probes` (docs/admin.md)."""

    def close(self) -> None:
        """No more checks; what was to be logged is."""


class SupervisorParts(Protocol):
    """What a supervisor is made of, and whom it tells: handed in by `server.group`."""

    @property
    def log(self) -> ProcessLog: ...
    @property
    def hooks(self) -> Commands: ...
    @property
    def admin(self) -> Admin | None: ...
    @property
    def origin(self) -> Origin:
        """How we were started."""

    @property
    def env(self) -> Mapping[str, str]:
        """The environment that we were started in."""

    async def start_worker(self, slot: int, on_message: Callable[[Child, object], None], /) -> Child:
        """A new worker for a slot, and who hears what it says. Raises StartError."""

    @property
    def manager(self) -> ServiceManager: ...

    def load(self) -> Loaded | None:
        """Read the configuration again, in a thread; None: it did not come from a file.

        Raises ConfigError or StartError.
        """

    def check(self, config: Config, delta: Delta) -> Mapping[str, bytes]:
        """Build for nothing what the delta that led to this configuration changes, in a thread; what workers may not
        be able to read. Raises ConfigError."""

    def first_files(self, config: Config) -> Mapping[str, bytes]:
        """What workers may not be able to read; nothing is built where they can read for themselves: they are about to
        build anyway. Raises ConfigError."""

    def import_the_rest(self) -> None:
        """Import what is not needed to start workers, while they start: later, the files on disk may be those of
        another version. `admin` is there afterwards."""

    def scout(self, children: Callable[[], Iterable[Child]]) -> Scout:
        """Who asks backends and sources for all workers; children: those that run. After `import_the_rest`."""

    def reopen_logs(self) -> Sequence[int]:
        """Open our own log again, by name; where it is open now, for the workers."""

    def announce(self, ready: str) -> None:
        """Print the ready line."""


class Built(Protocol):
    """What a worker needs of `server.generation.Generation`."""

    @property
    def number(self) -> int: ...
    @property
    def listen(self) -> tuple[ListenKey, ...]: ...
    @property
    def outputs(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def pools(self) -> Mapping[str, Pool]: ...
    def handler(self, key: ListenKey) -> Any: ...
    def start(self) -> None: ...
    def obey(self, pools: Container[str]) -> None: ...
    def retire(self, successor: Any = None) -> None: ...


class WorkerParts(Protocol):
    """What a worker is made of, and whom it tells: handed in by `server.process`."""

    @property
    def log(self) -> ProcessLog: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def relief(self) -> Relief: ...

    async def build(self, prepare: Prepare, config: Config, previous: Any) -> Built:
        """A generation that does not serve yet, of what is wanted, which is this configuration. Where another one
        serves, that gets its turns, and what is one object in both is not built again.

        Raises ConfigError or StartError.
        """

    def listener(self, plan: Any) -> Listener:
        """A listening address that hands its connections to `plan`."""

    def reopen_logs(self, descriptors: Sequence[int]) -> None:
        """Open the files of all logs again, by name; a descriptor that comes along is the process log's."""

    def reopen_log(self, message: ReopenLog) -> None:
        """Open this one again, and say whether it could be."""

    def hear_of_group(self, message: object, descriptors: list[int]) -> None:
        """One of `sharing.GROUP_MESSAGES`: only of several workers each hears such."""

    def obey(self, orders: Orders) -> None:
        """These are the orders for backends from now on."""

    def learn(self, told: Believed | Found) -> None:
        """What the supervisor has found out about backends; it is answered."""

    def tidy_log(self, path: str) -> None:
        """Nobody writes to the files put aside from this one."""

    def status(self) -> Iterator[dict[str, object]]:
        """What there is and how it is, as far as this worker knows, in pieces (`status.Status.pieces`)."""

    async def measure(self) -> Snapshot:
        """What this worker has counted."""

    def collected(self, message: Collected) -> None:
        """What the group has counted, which a client has asked for."""

    def tell(self, message: object) -> None:
        """Say something to the supervisor."""
