"""HAProxy: one process, with as many threads as others have workers. It serves no files from a folder."""

from __future__ import annotations

from benchmarks.proxies.rules import REQUEST, REQUEST_REMOVED, RESPONSE, RESPONSE_REMOVED, Value, written
from benchmarks.proxies.setup import Setup, program

# In a rule of the response the request is gone: what it needs of it is kept in a variable.
WORDS = {
    Value.CLIENT: "%[src]",
    Value.URI: "%[pathq]",
    Value.HOST: "%[var(txn.host)]",
    Value.AGENT: "%[req.hdr(user-agent)]",
}


def _rules() -> str:
    lines = ["http-request set-var(txn.host) req.hdr(host)"]
    lines += [f"http-request set-header {name} {value}" for name, value in written(REQUEST, WORDS).items()]
    lines += [f"http-response set-header {name} {value}" for name, value in written(RESPONSE, WORDS).items()]
    lines += [f"http-request del-header {REQUEST_REMOVED}", f"http-response del-header {RESPONSE_REMOVED}"]
    return "\n    ".join(lines)


def prepare(setup: Setup) -> list[str]:
    """It logs to its standard output, here a file: it has no file log of its own."""
    log = "log global\n    option httplog" if setup.access_log else "no log"
    tls = "ssl verify none" if setup.is_tls else ""
    conf = setup.folder / "haproxy.cfg"
    conf.write_text(f"""
global
    nbthread {setup.workers}
    maxconn 9900
    log stdout format raw local0
defaults
    mode http
    {log}
    http-reuse always
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
    timeout http-keep-alive 300s
frontend front
    bind 127.0.0.1:{setup.port} backlog 4096
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    {_rules() if setup.has_rules else ""}
    {f"http-response set-header X-Generation {setup.generation}" if setup.generation else ""}
    default_backend back
backend back
    server only 127.0.0.1:{setup.backend_port} pool-max-conn 64 {tls}
""")
    # With a master it can be reloaded.
    return [program("haproxy"), *(["-W"] if setup.generation else []), "-db", "-f", str(conf)]


def version() -> list[str]:
    """What prints its version."""
    return [program("haproxy"), "-v"]
