"""The real parts are what is asked for; the type checker is the judge, this runs it past the compiler."""

from __future__ import annotations

import os
import socket

from posthouse.adapt import adapt
from posthouse.admin.server import AdminServer, AdminServers
from posthouse.admin.socket_file import SocketFile
from posthouse.observe.process_log import ProcessLog
from posthouse.server.admin_functions import AdminFunctions
from posthouse.server.control import Welcome
from posthouse.server.group import Group, Options
from posthouse.server.group_status import GroupStatus
from posthouse.server.parts import Admin, Settings, SupervisorParts, WorkerParts
from posthouse.server.process import Process
from posthouse.server.service_manager import ServiceManager
from posthouse.server.supervisor import Supervisor


def as_worker_parts(process: Process) -> WorkerParts:
    return process


def as_supervisor_parts(group: Group) -> SupervisorParts:
    return group


def as_admin(server: AdminServers) -> Admin:
    return server


def test_the_real_parts_fit() -> None:
    group = as_supervisor_parts(Group(Options(os.environ), lambda: None))
    assert group.admin is None and group.load() is None
    assert isinstance(group.manager, ServiceManager)
    supervisor = Supervisor(adapt(":80\n", "Caddyfile"), Settings(), group)
    functions = AdminFunctions(GroupStatus(supervisor, None), supervisor.metrics)
    place = SocketFile("/nowhere", is_default=False)
    as_admin(AdminServers([AdminServer(place, functions, ProcessLog())])).close()
    ours, theirs = socket.socketpair()
    process = Process(Welcome(0, 1), theirs, "asyncio")
    assert next(as_worker_parts(process).status())["exchanges"] == 0
    process._channel.close()
    process.loop.close()
    ours.close()
