"""Lookup: questions to the DNS. The only file that knows dnspython, which is loaded with the first question.

The system's own way (getaddrinfo) tells neither SRV records nor how long an answer is true.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from posthouse.discovery.ports import Answer, Question, ServiceRecord, Unanswered

if TYPE_CHECKING:
    import dns.message
    import dns.resolver

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does work that may block in a thread."""

TRY_SECONDS: Final = 2.0
"""For one server, before the next is asked."""
TOTAL_SECONDS: Final = 5.0
"""For a question, all servers and search domains included."""
NONE_SECONDS: Final = 2.0
"""For how long "there is none" is true. The zone's own figure is often an hour, and new backends shall be seen."""

_SERVER: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]+))?|([0-9A-Fa-f:.]+)")
Server = tuple[str, int]
"""Address and port of a name server."""


class Lookup:
    """Asks the servers of /etc/resolv.conf, which is read anew for each question, or those that are given."""

    __slots__ = ("_in_thread", "_modules", "_servers")

    def __init__(self, in_thread: InThread, servers: Sequence[Server] = ()) -> None:
        self._in_thread = in_thread
        self._servers = tuple(servers)
        self._modules: Any = None

    def __repr__(self) -> str:
        servers = ", ".join(f"{host}:{port}" for host, port in self._servers) or "those of the system"
        return f"<Lookup asks {servers}>"

    async def ask(self, name: str, question: Question) -> Answer:
        """The answer, at most TOTAL_SECONDS later. Raises Unanswered."""
        if self._modules is None:
            # A tenth of a second of reading modules: not in the event loop, which has requests to serve.
            self._modules = await self._in_thread(_load)
        dns = self._modules
        try:
            resolver = await self._in_thread(self._resolver)
            found = await resolver.resolve(
                name, question, search=True, raise_on_no_answer=False, lifetime=TOTAL_SECONDS
            )
        except dns.resolver.NXDOMAIN:
            return Answer((), NONE_SECONDS)
        except dns.resolver.LifetimeTimeout:
            raise Unanswered(f"{question}: no answer within {TOTAL_SECONDS:g} s") from None
        except dns.resolver.NoNameservers as error:
            raise Unanswered(f"{question}: {_reason(error)}") from None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise Unanswered(f"{question}: {str(error) or type(error).__name__}") from None
        if found.rrset is None:
            return Answer((), NONE_SECONDS)
        records = _services(found) if question == "SRV" else [record.address for record in found.rrset]
        return Answer(tuple(sorted(records)), float(found.chaining_result.minimum_ttl))

    def _resolver(self) -> Any:
        dns = self._modules
        resolver = dns.asyncresolver.Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._servers]
        resolver.timeout = TRY_SECONDS
        return resolver


def parse_servers(text: str) -> list[Server]:
    """`ADDRESS[:PORT]` with commas between -> servers. Raises ValueError."""
    servers = []
    for one in (part.strip() for part in text.split(",")):
        match = _SERVER.fullmatch(one)
        address, port = (match[1] or match[2] or match[4], match[3] or "53") if match else (one, "53")
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f"`{one}` is not the address of a name server") from None
        if len(port) > 5 or not 1 <= int(port) <= 65535:
            raise ValueError(f"`{port}` is not a port")
        servers.append((address, int(port)))
    return servers


def _load() -> Any:
    # With all that dnspython itself would load only with the answer that needs it: by then its files may be another
    # version's.
    import dns._asyncio_backend
    import dns.asyncresolver
    import dns.exception
    import dns.nameserver
    import dns.rdtypes.ANY.CNAME
    import dns.rdtypes.ANY.OPT
    import dns.rdtypes.ANY.SOA
    import dns.rdtypes.IN.A
    import dns.rdtypes.IN.AAAA
    import dns.rdtypes.IN.SRV
    import dns.resolver

    return dns


def _services(found: Any) -> list[ServiceRecord]:
    brought = _brought_along(found.response)
    records = []
    for record in found.rrset:
        target = record.target.to_text(omit_final_dot=True).lower()
        addresses = brought.get(record.target, [])
        address = addresses[0] if len(addresses) == 1 else ""
        # The root as a target is "." here, and says that there is no such service.
        records.append(
            ServiceRecord(
                record.priority, record.weight, "" if target == "." else target, record.port, address
            )
        )
    return records


def _brought_along(response: dns.message.Message) -> dict[Any, list[str]]:
    """Addresses by target, of the additional section: Consul puts them there, and knows them better than the system."""
    brought: dict[Any, list[str]] = {}
    for rrset in response.additional:
        for record in rrset:
            address = getattr(record, "address", None)
            if address is not None:
                brought.setdefault(rrset.name, []).append(address)
    return brought


def _reason(error: dns.resolver.NoNameservers) -> str:
    """The last server's reason: `SERVFAIL`, `REFUSED`, the system's word for a closed port."""
    errors = error.kwargs.get("errors") or []
    return str(errors[-1][3]) if errors else "no name server answered"
