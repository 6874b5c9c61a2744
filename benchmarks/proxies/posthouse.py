"""Posthouse, from the environment that runs the benchmark."""

from __future__ import annotations

import sys

from benchmarks.proxies.rules import REQUEST, REQUEST_REMOVED, RESPONSE, RESPONSE_REMOVED, Value, written
from benchmarks.proxies.setup import Setup

WORDS = {
    Value.CLIENT: "{remote}",
    Value.URI: "{uri}",
    Value.HOST: "{host}",
    Value.AGENT: "{>User-Agent}",
}


def _rules() -> str:
    lines = [f"header_upstream {name} {value}" for name, value in written(REQUEST, WORDS).items()]
    lines += [f"header_downstream {name} {value}" for name, value in written(RESPONSE, WORDS).items()]
    return "\n        ".join(
        [*lines, f"header_upstream -{REQUEST_REMOVED}", f"header_downstream -{RESPONSE_REMOVED}"]
    )


def caddyfile(setup: Setup) -> str:
    """The configuration, in the words of Caddy v1."""
    log = f'log / {setup.access_log} "{{combined}}"' if setup.access_log else ""
    if setup.root:
        return f"http://127.0.0.1:{setup.port} {{\n    {log}\n    root {setup.root}\n}}\n"
    generation = f"header / X-Generation {setup.generation}" if setup.generation else ""
    scheme, verify = ("https://", "insecure_skip_verify") if setup.is_tls else ("", "")
    return f"""http://127.0.0.1:{setup.port} {{
    {log}
    {generation}
    proxy / {scheme}127.0.0.1:{setup.backend_port} {{
        keepalive 64
        {verify}
        {_rules() if setup.has_rules else ""}
    }}
}}
"""


def prepare(setup: Setup) -> list[str]:
    """Write the Caddyfile."""
    conf = setup.folder / "Caddyfile"
    conf.write_text(caddyfile(setup))
    pidfile = ["--pidfile", str(setup.folder / "posthouse.pid")] if setup.generation else []
    return [
        sys.executable,
        "-m",
        "posthouse",
        "run",
        "--workers",
        str(setup.workers),
        "--config",
        str(conf),
        *pidfile,
    ]


def version() -> list[str]:
    """What prints its version."""
    return [sys.executable, "-m", "posthouse", "version"]
