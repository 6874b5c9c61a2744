"""The worker's runtime has what probes need: mypy compares the two here."""

from __future__ import annotations

from posthouse.net.upstream_h1 import UpstreamH1
from posthouse.probe.ports import Cancellable, Connection, Log, Services
from posthouse.server.runtime import Runtime
from unit.probe.bench import Bench


def as_services(runtime: Runtime) -> Services:
    return runtime


def as_connection(connection: UpstreamH1) -> Connection:
    return connection


def test_the_stand_in_fits_too() -> None:
    bench = Bench()
    services: Services = bench
    log: Log = bench
    timer: Cancellable = services.call_later(0.0, lambda: None)
    assert log is services.log and timer.cancel() is None
