"""Accept-Encoding: which codings a client takes, and how gladly (RFC 9110 12.5.3)."""

from __future__ import annotations

import re
from typing import Final

from posthouse.protocol.fields import parse_list

_QUALITY: Final = re.compile(rb"q[ \t]*=[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def weights(value: bytes) -> dict[bytes, float]:
    """Coding in lower case -> weight, 0.0 to 1.0; `x-gzip` is gzip, `*` stands for those not named.

    What cannot be read was not asked for; of a coding that is named twice the lower weight counts.
    """
    found: dict[bytes, float] = {}
    for member in parse_list(value):
        coding, mark, parameter = member.partition(b";")
        coding = coding.rstrip(b" \t")
        weight = 1.0
        if mark:
            match = _QUALITY.fullmatch(parameter.strip(b" \t"))
            weight = float(match.group(1)) if match is not None else 0.0
        coding = b"gzip" if coding == b"x-gzip" else coding
        found[coding] = min(weight, found.get(coding, 1.0))
    return found


def weight_of(coding: bytes, found: dict[bytes, float]) -> float:
    """The weight of a coding; 0.0 = not to be sent, also where the client likes the plain form better."""
    weight = found.get(coding, found.get(b"*", 0.0))
    return weight if weight >= found.get(b"identity", 0.0) else 0.0
