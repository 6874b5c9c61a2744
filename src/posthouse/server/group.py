"""Group: the supervisor in this process, put together from its parts and run until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from posthouse.adapt import Adapted
from posthouse.config.delta import Delta
from posthouse.config.specs import Config
from posthouse.errors import StartError
from posthouse.observe.output import Output
from posthouse.observe.process_log import Format, ProcessLog
from posthouse.server import descriptors, later, loops
from posthouse.server.child import Child, Identity, Launch
from posthouse.server.control import Welcome
from posthouse.server.discoverer import RESOLVER, name_servers
from posthouse.server.hooks import Hooks
from posthouse.server.origin import UNKNOWN, Origin
from posthouse.server.parts import Admin, Scout, Settings
from posthouse.server.pressure import Limits
from posthouse.server.recruits import Recruits
from posthouse.server.service_manager import ServiceManager
from posthouse.server.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of every worker, besides `supervisor.Settings`.

    env       the environment with the values of the env file: what commands of the configuration get
    identity  whom workers run as; None: as we do
    origin    how this process was started
    recruits  processes that were started to be workers, as we are and with nothing but stderr for a log
    """

    env: Mapping[str, str]
    limits: Limits = field(default_factory=Limits)
    log: str = "stderr"
    log_format: Format = "text"
    is_case_sensitive: bool = False
    identity: Identity | None = None
    origin: Origin = UNKNOWN
    recruits: Recruits | None = None


class Group:
    """The parts of a supervisor (see `parts.SupervisorParts`), made before it and closed after it.

    load  reads the configuration again; None: it did not come from a file
    Raises StartError when the log can't be opened, or for a variable of the environment that is wrong.
    """

    def __init__(self, options: Options, load: Callable[[], Adapted | None]) -> None:
        # What workers will read as well: said once, here, and not by each of them.
        loops.choose(os.environ.get("POSTHOUSE_LOOP", ""))
        self._name_servers = name_servers(os.environ.get(RESOLVER, ""))
        self._output = _open(options.log)
        self.log = ProcessLog(self._output, options.log_format)
        self.load = load
        self.hooks = Hooks(self.log, options.env)
        self.manager = ServiceManager(os.environ)
        self._launch = Launch(os.environ, options.identity, options.recruits)
        self._options = options
        self.admin: Admin | None = None
        self.origin = options.origin
        self.env = dict(os.environ)

    def serve(self, loaded: Adapted, settings: Settings) -> int:
        """Serve until stopped; the exit code. Raises ConfigError or StartError. Can be called once."""
        options = self._options
        self._welcome = Welcome(
            slot=0,
            workers=settings.workers,
            grace=settings.grace,
            limits=options.limits,
            log=options.log,
            log_format=options.log_format,
            is_case_sensitive=options.is_case_sensitive,
            secret=secrets.token_bytes(32),
        )
        self._warn_of_few(options.limits)
        self._supervisor = Supervisor(loaded, settings, self)
        self._settings = settings
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(self._supervisor.run())
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            self.log.close()
            # Not asyncio.run(), which would wait for the thread that reads a configuration, however long that takes.
            loop.close()
            asyncio.set_event_loop(None)

    def _warn_of_few(self, limits: Limits) -> None:
        """Where nobody has said how many clients there may be at most, the system must not decide it in silence."""
        if limits.connections is None and limits.descriptors < descriptors.FEW:
            self.log.warn(
                "few descriptors: the system allows no more (LimitNOFILE, ulimit -Hn)",
                descriptors=limits.descriptors,
                connections_per_worker=descriptors.connection_limit(limits.descriptors),
            )

    async def start_worker(self, slot: int, on_message: Callable[[Child, object], None]) -> Child:
        """See `parts.SupervisorParts`."""
        (descriptor,) = self._descriptors() or (-1,)
        is_counting = self._supervisor.metrics.is_counting
        welcome = replace(self._welcome, slot=slot, descriptor=descriptor, is_counting=is_counting)
        return await self._launch.start(welcome, on_message)

    def reopen_logs(self) -> Sequence[int]:
        """See `parts.SupervisorParts`."""
        self.log.reopen()
        return self._descriptors()

    def _descriptors(self) -> Sequence[int]:
        """Where the process log is open: workers write to it there, and may not be able to open it themselves."""
        return () if self._options.log in ("stderr", "stdout") else (self._output.fileno(),)

    def import_the_rest(self) -> None:
        """See `parts.SupervisorParts`."""
        from posthouse.admin.server import AdminServer, AdminServers, Place
        from posthouse.admin.socket_file import SocketFile
        from posthouse.admin.tcp_place import TCPPlace
        from posthouse.server import lookout, process
        from posthouse.server.admin_functions import AdminFunctions
        from posthouse.server.group_status import GroupStatus

        later.import_all()
        self._process, self._lookout = process, lookout
        supervisor, settings, places = self._supervisor, self._settings, list[Place]()
        config = None
        if settings.admin is not None:
            config = settings.admin.config
            places.append(SocketFile(settings.admin.path, is_default=not settings.admin.is_wanted))
        if settings.admin_listen is not None:
            before = settings.predecessor.admin if settings.predecessor is not None else {}
            places.append(TCPPlace(*settings.admin_listen, before.pop(settings.admin_listen, None)))
        functions = AdminFunctions(GroupStatus(supervisor, config), supervisor.metrics)
        self.admin = AdminServers([AdminServer(place, functions, self.log) for place in places])
        gc.freeze()  # and nothing is collected before, as in workers (`memory.settle`): that would take 20 ms
        gc.enable()

    def scout(self, children: Callable[[], Iterable[Child]]) -> Scout:
        """See `parts.SupervisorParts`."""
        return self._lookout.Lookout(
            children,
            self.log,
            asyncio.get_running_loop(),
            is_case_sensitive=self._options.is_case_sensitive,
            name_servers=self._name_servers,
        )

    def check(self, config: Config, delta: Delta) -> Mapping[str, bytes]:
        """See `parts.SupervisorParts`."""
        if self._options.identity is not None:
            return self._process.dry_build(config)
        self._process.dry_build(self._process.what_to_check(config, delta))
        return {}

    def first_files(self, config: Config) -> Mapping[str, bytes]:
        """See `parts.SupervisorParts`."""
        return self._process.dry_build(config) if self._options.identity is not None else {}

    def announce(self, ready: str) -> None:
        """See `parts.SupervisorParts`."""
        if sys.stderr is None:  # closed by who started us; print() would take stdout instead
            return
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            print(ready, file=sys.stderr, flush=True)


def _open(log: str) -> Output:
    try:
        return Output(log)
    except OSError as error:
        raise StartError(f"cannot open the process log {log}: {error.strerror or error}") from error
