"""Every placeholder, with what it yields in a header rule and in a line of the log."""

from __future__ import annotations

import os

from unit.observe.fake_subject import FakeSubject

SUBJECT = FakeSubject(
    method=b"POST",
    fields={
        b"user-agent": b'curl "8"',
        b"cookie": b'a=b; sid="s 1"',
        b"content-type": b"application/json",
    },
    body=b'{"a":\r\n1}',
)
"""A request that has everything but TLS."""

HOST = os.uname().nodename
ROWS = [
    # name, in a header rule, in a line of the log
    (">User-Agent", 'curl "8"', r"curl \x228\x22"),
    (">USER-agent", 'curl "8"', r"curl \x228\x22"),
    (">X-Absent", "", "-"),
    (">", "", "-"),
    ("<Content-Type", "text/html", "text/html"),
    ("<X-Absent", "", "-"),
    ("~sid", "s 1", "s 1"),
    ("~absent", "", "-"),
    ("?x", "1", "1"),
    ("?y", "a b!", "a b!"),
    ("?z", "", ""),
    ("method", "POST", "POST"),
    ("proto", "HTTP/1.1", "HTTP/1.1"),
    ("scheme", "http", "http"),
    ("host", "www.Example.org:8080", "www.Example.org:8080"),
    ("hostonly", "www.Example.org", "www.Example.org"),
    ("server_port", "8080", "8080"),
    ("label1", "www", "www"),
    ("label2", "Example", "Example"),
    ("label3", "org:8080", "org:8080"),
    ("label4", "", "-"),
    ("label0", "", "-"),
    ("label", "", "-"),
    ("hostname", HOST, HOST),
    ("remote", "192.0.2.7", "192.0.2.7"),
    ("port", "50123", "50123"),
    ("client_ip", "198.51.100.1", "198.51.100.1"),
    ("path", "/shop/a b/c.html", "/shop/a b/c.html"),
    ("path_escaped", "%2Fshop%2Fa+b%2Fc.html", "%2Fshop%2Fa+b%2Fc.html"),
    ("query", "x=1&y=a+b%21&x=2", "x=1&y=a+b%21&x=2"),
    ("query_escaped", "x%3D1%26y%3Da%2Bb%2521%26x%3D2", "x%3D1%26y%3Da%2Bb%2521%26x%3D2"),
    ("uri", "/shop/a%20b/c.html?x=1&y=a+b%21&x=2", "/shop/a%20b/c.html?x=1&y=a+b%21&x=2"),
    ("uri_escaped", *["%2Fshop%2Fa%2520b%2Fc.html%3Fx%3D1%26y%3Da%2Bb%2521%26x%3D2"] * 2),
    ("fragment", "", ""),
    ("rewrite_path", "/a b/c.html", "/a b/c.html"),
    ("rewrite_path_escaped", "%2Fa+b%2Fc.html", "%2Fa+b%2Fc.html"),
    ("rewrite_uri", "/a%20b/c.html?x=1&y=a+b%21&x=2", "/a%20b/c.html?x=1&y=a+b%21&x=2"),
    ("rewrite_uri_escaped", *["%2Fa%2520b%2Fc.html%3Fx%3D1%26y%3Da%2Bb%2521%26x%3D2"] * 2),
    ("file", "c.html", "c.html"),
    ("dir", "/a b/", "/a b/"),
    ("when_iso", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
    ("when_unix", "1769860800", "1769860800"),
    ("when_unix_ms", "1769860800123", "1769860800123"),
    ("request_id", *["0f0e0d0c-0b0a-0908-0706-050403020100"] * 2),
    (
        "request",
        r"POST /shop/a%20b/c.html?x=1&y=a+b%21&x=2 HTTP/1.1\r\nuser-agent: curl "
        '"8"'
        r"\r\ncookie: a=b; sid="
        '"s 1"'
        r"\r\ncontent-type: application/json\r\n",
        r"POST /shop/a%20b/c.html?x=1&y=a+b%21&x=2 HTTP/1.1\r\nuser-agent: curl \x228\x22"
        r"\r\ncookie: a=b; sid=\x22s 1\x22\r\ncontent-type: application/json\r\n",
    ),
    ("request_body", r'{"a":\r\n1}', r"{\x22a\x22:\r\n1}"),
    ("status", "200", "200"),
    ("size", "1234", "1234"),
    ("latency", "12ms", "12ms"),
    ("latency_ms", "12", "12"),
    ("user", "ann", "ann"),
    ("upstream", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    ("attempts", "1", "1"),
    ("retries", "0", "0"),
    ("failure", "", "-"),
    ("queue_ms", "0", "0"),
    ("mitm", "unknown", "unknown"),
    ("tls_protocol", "", "-"),
    ("tls_cipher", "", "-"),
    ("tls_client_escaped_cert", "", "-"),
    ("tls_client_fingerprint", "", "-"),
    ("tls_client_i_dn", "", "-"),
    ("tls_client_raw_cert", "", "-"),
    ("tls_client_s_dn", "", "-"),
    ("tls_client_serial", "", "-"),
    ("tls_client_v_end", "", "-"),
    ("tls_client_v_remain", "", "-"),
    ("tls_client_v_start", "", "-"),
]
LOCAL = {"when", "when_iso_local"}
"""They depend on the zone of the machine and have tests of their own."""
