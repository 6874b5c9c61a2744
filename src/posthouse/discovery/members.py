"""What the DNS answered -> the members of a pool. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import replace

from posthouse.config.specs import HEAVIEST, EndpointSpec
from posthouse.discovery.ports import Members, ServiceRecord


def of_records(common: EndpointSpec, records: Iterable[ServiceRecord]) -> Members:
    """One member for each SRV record, by priority and name.

    A target "." says that there is no such service (RFC 2782). `common` is what all members share.
    """
    kept = sorted({record for record in records if record.target and record.port})
    weights = _scaled(kept)
    members = []
    for record in kept:
        name = f"[{record.target}]" if ":" in record.target else record.target
        members.append(
            replace(
                common,
                text=_text(common, f"{name}:{record.port}"),
                host=record.address or record.target,
                port=record.port,
                weight=weights[record],
                priority=record.priority,
            )
        )
    return tuple(members)


def of_addresses(common: EndpointSpec, addresses: Iterable[str]) -> Members:
    """One member for each address, IPv4 first, in the order of their numbers."""
    members = []
    for one in sorted(
        {ipaddress.ip_address(text) for text in addresses}, key=lambda ip: (ip.version, int(ip))
    ):
        name = f"[{one}]" if one.version == 6 else str(one)
        text = _text(common, f"{name}:{common.port}")
        members.append(replace(common, text=text, host=str(one)))
    return tuple(members)


def _text(common: EndpointSpec, authority: str) -> str:
    query = f"?{common.base_query}" if common.base_query else ""
    return f"{common.scheme}://{authority}{common.base_path}{query}"


def _scaled(records: Sequence[ServiceRecord]) -> dict[ServiceRecord, int]:
    """Weights from 1 to HEAVIEST.

    Theirs go from 0 to 65535, and 0 means "hardly ever" beside others (RFC 2782): such a group is stretched until its
    heaviest is HEAVIEST. Records of different priorities are never chosen between.
    """
    groups: dict[int, list[int]] = {}
    for record in records:
        groups.setdefault(record.priority, []).append(record.weight)
    scaled = {}
    for record in records:
        group = groups[record.priority]
        if not any(group):
            scaled[record] = 1
        elif max(group) <= HEAVIEST and min(group):
            scaled[record] = record.weight
        else:
            scaled[record] = max(1, round(record.weight * HEAVIEST / max(group)))
    return scaled
