"""`ipmask`: the addresses of a log's lines, cut to their network."""

from __future__ import annotations

import ipaddress
from typing import Any, cast

from posthouse.observe.access_lines import Line
from posthouse.observe.record import Subject

_MEMO = 4096


class Mask:
    """The masks of one `log`, as addresses: 255.255.0.0, ffff:ffff::; "" leaves addresses of that kind as they are."""

    __slots__ = ("_masked", "_v4", "_v6")

    def __init__(self, v4: str, v6: str) -> None:
        self._v4 = int(ipaddress.IPv4Address(v4)) if v4 else -1
        self._v6 = int(ipaddress.IPv6Address(v6)) if v6 else -1
        self._masked: dict[str, str] = {}

    def apply(self, text: str) -> str:
        """The address as it is written; text that is no address ("" for a Unix socket) stays."""
        masked = self._masked.get(text)
        if masked is None:
            if len(self._masked) >= _MEMO:
                self._masked.clear()
            masked = self._masked[text] = self._apply(text)
        return masked

    def _apply(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text
        if isinstance(address, ipaddress.IPv4Address):
            return str(ipaddress.IPv4Address(int(address) & self._v4)) if self._v4 >= 0 else text
        mapped = address.ipv4_mapped
        if mapped is not None:
            # A listener for both kinds has IPv4 peers in this form.
            return f"::ffff:{self._apply(str(mapped))}"
        return str(ipaddress.IPv6Address(int(address) & self._v6)) if self._v6 >= 0 else text


class _Masked:
    """A subject whose addresses are masked."""

    __slots__ = ("_subject", "client_ip", "peer")

    def __init__(self, subject: Subject, mask: Mask) -> None:
        self._subject = subject
        self.peer = mask.apply(subject.peer)
        self.client_ip = mask.apply(subject.client_ip)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subject, name)


def masked_line(line: Line, mask: Mask) -> Line:
    """A line function that sees masked addresses only."""
    return lambda subject: line(cast(Subject, _Masked(subject, mask)))
