"""The real parts are what is asked for; the type checker is the judge, this runs it past the compiler."""

from __future__ import annotations

import os
import socket

from posthouse.admin.server import AdminServer
from posthouse.observe.process_log import ProcessLog
from posthouse.server.control import Welcome
from posthouse.server.group import Group, Options
from posthouse.server.parts import Admin, SupervisorParts, WorkerParts
from posthouse.server.process import Process
from posthouse.server.service_manager import ServiceManager


def as_worker_parts(process: Process) -> WorkerParts:
    return process


def as_supervisor_parts(group: Group) -> SupervisorParts:
    return group


def as_admin(server: AdminServer) -> Admin:
    return server


class Functions:
    async def status(self) -> dict[str, object]:
        return {}

    async def upgrade(self) -> dict[str, object]:
        return {"error": "not now"}


def test_the_real_parts_fit() -> None:
    group = as_supervisor_parts(Group(Options(os.environ), lambda: None))
    assert group.admin is None and group.load() is None
    assert isinstance(group.manager, ServiceManager)
    as_admin(AdminServer("/nowhere", Functions(), ProcessLog(), is_wanted=True)).close()
    ours, theirs = socket.socketpair()
    process = Process(Welcome(0, 1), theirs, "asyncio")
    assert as_worker_parts(process).status()["exchanges"] == 0
    process._channel.close()
    process.loop.close()
    ours.close()
