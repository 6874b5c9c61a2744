"""The real parts are what a worker asks for; the type checker is the judge, this runs it past the compiler."""

from __future__ import annotations

import asyncio

from posthouse.adapt import adapt
from posthouse.admin.server import AdminServer, AdminServers
from posthouse.admin.socket_file import SocketFile
from posthouse.observe.process_log import ProcessLog
from posthouse.probe.probes import Probes
from posthouse.server.admin_functions import AdminFunctions
from posthouse.server.measuring import Measuring
from posthouse.server.parts import Admin, Parts
from posthouse.server.process import Process
from posthouse.server.runtime import Runtime
from posthouse.server.status import Moment, Status
from posthouse.server.worker import Settings, Worker


def as_parts(process: Process) -> Parts:
    return process


def as_admin(server: AdminServers) -> Admin:
    return server


def test_the_real_parts_fit() -> None:
    process = Process(ProcessLog(), "asyncio", lambda: None, is_case_sensitive=False)
    parts = as_parts(process)
    assert parts.admin is None and parts.load() is None
    loop = asyncio.new_event_loop()
    runtime = Runtime(loop, ProcessLog())
    probes: Probes = runtime.probes
    worker = Worker(adapt(":80\n", "Caddyfile"), Settings(), process)
    status = Status(worker, None, probes, lambda: Moment(0.0, 0.0), runtime.discoverer)
    functions = AdminFunctions(status, Measuring(Runtime(loop, ProcessLog())))
    admin = as_admin(
        AdminServers([AdminServer(SocketFile("/nowhere", is_default=False), functions, ProcessLog())])
    )
    admin.close()
    loop.close()
    process.loop.close()
