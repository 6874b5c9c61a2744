"""`ipmask`: addresses are cut to their network in the lines of one log."""

from __future__ import annotations

import json

import pytest

from posthouse.observe import masking
from posthouse.observe.access_lines import compile_line
from posthouse.observe.masking import Mask, masked_line
from unit.observe.fake_subject import FakeSubject


@pytest.mark.parametrize(
    ("v4", "v6", "address", "masked"),
    [
        ("255.255.0.0", "", "192.0.2.7", "192.0.0.0"),
        ("255.255.255.255", "", "192.0.2.7", "192.0.2.7"),
        ("0.0.0.0", "", "192.0.2.7", "0.0.0.0"),
        ("255.0.255.0", "", "192.1.2.7", "192.0.2.0"),
        ("255.255.0.0", "", "2001:db8:1::7", "2001:db8:1::7"),
        ("255.255.0.0", "ffff:ffff::", "2001:db8:1::7", "2001:db8::"),
        ("", "ffff:ffff::", "192.0.2.7", "192.0.2.7"),
        ("255.255.0.0", "ffff::", "::ffff:192.0.2.7", "::ffff:192.0.0.0"),
        ("255.255.0.0", "ffff::", "", ""),
        ("255.255.0.0", "ffff::", "@", "@"),
    ],
)
def test_mask(v4: str, v6: str, address: str, masked: str) -> None:
    mask = Mask(v4, v6)
    assert mask.apply(address) == masked
    assert mask.apply(address) == masked, "remembered"


def test_what_is_remembered_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_MEMO", 2)
    mask = Mask("255.0.0.0", "")
    for last in range(5):
        assert mask.apply(f"10.0.0.{last}") == "10.0.0.0"
    assert len(mask._masked) <= 2


def test_every_format_shows_masked_addresses_and_nothing_else_changes() -> None:
    subject = FakeSubject(peer="192.0.2.7", client_ip="2001:db8:1::7")
    mask = Mask("255.255.0.0", "ffff:ffff::")
    for form in ("common", "combined"):
        line = compile_line(form)
        assert masked_line(line, mask)(subject) == line(subject).replace(b"192.0.2.7", b"192.0.0.0")
    values = json.loads(masked_line(compile_line("json"), mask)(subject))
    assert (values["peer"], values["client_ip"]) == ("192.0.0.0", "2001:db8::")
    line = masked_line(compile_line("{remote} {client_ip} {port} {<Content-Type} {request_id}"), mask)
    assert line(subject).split() == [
        b"192.0.0.0",
        b"2001:db8::",
        b"50123",
        b"text/html",
        subject.request_id.encode(),
    ]
    assert (subject.peer, subject.client_ip) == ("192.0.2.7", "2001:db8:1::7")
