"""Where a log goes, as one word."""

from __future__ import annotations

import pytest

from posthouse.config.outputs import SyslogAddress, can_rotate, syslog_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("syslog", SyslogAddress("unix")),
        ("syslog://h:1", SyslogAddress("udp", "h", 1)),
        ("syslog+udp://h:65535", SyslogAddress("udp", "h", 65535)),
        ("syslog+tcp://127.0.0.1:601", SyslogAddress("tcp", "127.0.0.1", 601)),
        ("syslog://Log.Example.org", SyslogAddress("udp", "log.example.org", 514)),
        ("syslog+tcp://h", SyslogAddress("tcp", "h", 514)),
        ("syslog://[::1]:5", SyslogAddress("udp", "::1", 5)),
        ("syslog://[2001:DB8::1]", SyslogAddress("udp", "2001:db8::1", 514)),
        ("stdout", None),
        ("access.log", None),
        ("syslog.log", None),
        ("./syslog", None),
        ("syslog:/x", None),
    ],
)
def test_addresses_of_syslog_daemons(text: str, address: SyslogAddress | None) -> None:
    assert syslog_address(text) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("syslog+tls://h:1", "syslog is reached over udp or tcp, not `tls`"),
        ("syslog://", "it is not a host name"),
        ("syslog://h:0", "`0` is not a port (1 to 65535)"),
        ("syslog://h:65536", "`65536` is not a port (1 to 65535)"),
        ("syslog://h:", "`` is not a port (1 to 65535)"),
        ("syslog://h:1:2", "`1:2` is not a port (1 to 65535)"),
        ("syslog://[::1", "an IPv6 address stands in brackets, and a port behind them"),
        ("syslog://[::1]5", "an IPv6 address stands in brackets, and a port behind them"),
        ("syslog://[1.2.3.4]:5", "it is not an IPv6 address"),
        ("syslog://h/x", "it is not a host name"),
    ],
)
def test_wrong_ones(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        syslog_address(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize("text", ["a.log", "/var/log/a", "./stdout", "stdout.log", "visible"])
def test_files_can_be_rotated(text: str) -> None:
    assert can_rotate(text)


@pytest.mark.parametrize("text", ["stdout", "stderr", "syslog", "syslog://h", "syslog+tcp://h:1"])
def test_the_rest_can_not(text: str) -> None:
    assert not can_rotate(text)
