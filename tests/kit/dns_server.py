"""DnsServer: a name server on loopback whose zone is a dictionary, and which can be made to fail in every way."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Literal, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Trouble = Literal["", "SERVFAIL", "REFUSED", "silent", "truncated", "garbage"]


class DnsServer:
    """Answers over UDP and TCP from `start` on; a name without any record does not exist (NXDOMAIN).

    trouble  "" = none; "silent" = no answer; "truncated" = all of it only over TCP; "garbage" = no DNS message
    asked    (name, type) of each question, in order
    ttl      of all answers
    """

    def __init__(self) -> None:
        self.trouble: Trouble = ""
        self.ttl = 1
        self.asked: list[tuple[str, str]] = []
        self.over_tcp = 0
        self._zone: dict[str, dict[str, list[str]]] = {}
        self._extra: dict[str, list[str]] = {}
        self.port, self._udp, self._tcp = _bound()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._serve_udp, self._serve_tcp)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def address(self) -> str:
        """As POSTHOUSE_RESOLVER takes it."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for sock in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def put(self, name: str, kind: str, *records: str, extra: dict[str, str] | None = None) -> None:
        """`name` has these records of a kind now, in the form of zone files; none: it has that name but nothing there.

        extra  name to address, brought along in the additional section
        """
        self._zone.setdefault(name, {})[kind] = list(records)
        for target, address in (extra or {}).items():
            self._extra.setdefault(target, []).append(address)

    def drop(self, name: str) -> None:
        """There is no such name any more."""
        self._zone.pop(name, None)

    def clear(self) -> None:
        """As it was made, but for the port."""
        self.trouble, self.ttl, self.over_tcp = "", 1, 0
        self.asked.clear()
        self._zone.clear()
        self._extra.clear()

    def _serve_udp(self) -> None:
        while True:
            try:
                data, peer = self._udp.recvfrom(65535)
            except OSError:
                return
            if not data:
                return
            answer = self._answer(data, is_tcp=False)
            if answer is not None:
                with contextlib.suppress(OSError):
                    self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            try:
                sock, _ = self._tcp.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError, struct.error):
                sock.settimeout(5)
                (size,) = struct.unpack("!H", sock.recv(2))
                answer = self._answer(sock.recv(size), is_tcp=True)
                if answer is not None:
                    sock.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, data: bytes, *, is_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        self.over_tcp += is_tcp
        answer = dns.message.make_response(query, recursion_available=True)
        if self.trouble == "silent":
            return None
        if self.trouble == "garbage":
            return data[:2] + b"\xff" * 20
        if self.trouble in ("SERVFAIL", "REFUSED"):
            answer.set_rcode(dns.rcode.from_text(self.trouble))
        elif self.trouble == "truncated" and not is_tcp:
            answer.flags |= dns.flags.TC
        elif name not in self._zone:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records := self._zone[name].get(kind):
            answer.answer.append(dns.rrset.from_text_list(question.name, self.ttl, "IN", kind, records))
            for target, addresses in self._extra.items():
                rrset = dns.rrset.from_text_list(dns.name.from_text(target), self.ttl, "IN", "A", addresses)
                answer.additional.append(rrset)
        return answer.to_wire(max_size=65535)


def _bound() -> tuple[int, socket.socket, socket.socket]:
    """A port that is free for both, with its sockets."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        port: int = udp.getsockname()[1]
        try:
            return port, udp, socket.create_server(("127.0.0.1", port))
        except OSError:
            udp.close()
