from __future__ import annotations

import json
from dataclasses import replace

import pytest

from posthouse.config.dump import dump, load
from posthouse.config.specs import (
    AddressSpec,
    Config,
    EndpointSpec,
    ErrorsSpec,
    HeaderRule,
    HeaderScopeSpec,
    LimitsSpec,
    LogSpec,
    PolicySpec,
    PoolSpec,
    RequestIdSpec,
    RotationSpec,
    RouteSpec,
    SiteSpec,
    UpstreamTimeouts,
)
from posthouse.config.step_specs import BasicAuthSpec
from posthouse.errors import ConfigError, Notice, Place

HERE = Place("C:/Caddyfile", 3, 7)
ENDPOINT = EndpointSpec(
    "http://a:1", "http", "a", 1, "", "a:1", "/b", "k=ü", "", 3, 9, "fallback", 2, "n", HERE
)
POOL = PoolSpec(
    "a /",
    (ENDPOINT,),
    PolicySpec("header", ("X-A",), HERE),
    timeouts=UpstreamTimeouts(exchange=5.0, response=None, places=(("exchange_timeout", HERE),)),
)
CONFIG = Config(
    (
        SiteSpec(
            (AddressSpec("a.test", "http", "a.test", 2015, "", HERE),),
            (
                RouteSpec(
                    "/", POOL, ("/x",), header_upstream=(HeaderRule("add", "A", "b", HERE),), place=HERE
                ),
            ),
            (HeaderScopeSpec("/", (HeaderRule("remove", "Server"),)),),
            LimitsSpec(body=(("/up", 5),), connections=3, given=frozenset({"fields", "connections"})),
            trusted_proxies=("10.0.0.0/8",),
            request_id=RequestIdSpec(HERE, "X-Id"),
            logs=(
                LogSpec("/", "stdout", "json"),
                LogSpec("/", "a", "{uri} é", HERE, ("/x",), ("255.0.0.0", ""), RotationSpec(age=None)),
            ),
            errors=ErrorsSpec("stderr", ((0, "any.html"), (404, "404.html")), place=HERE),
            place=HERE,
        ),
    ),
    (Notice(HERE, "beware", 4),),
)


def test_what_was_dumped_can_be_loaded() -> None:
    text = dump(CONFIG)
    again = load(text)
    assert again == CONFIG
    assert again.notices == CONFIG.notices
    assert again.sites[0].place == HERE
    assert again.sites[0].routes[0].pool.timeouts.places == (("exchange_timeout", HERE),)
    assert dump(again) == text


def test_the_text_is_stable_and_for_people() -> None:
    text = dump(CONFIG)
    assert text.endswith("}\n") and "ü" in text
    site = json.loads(text)["sites"][0]
    assert site["place"] == "C:/Caddyfile:3:7"
    assert site["limits"]["given"] == ["connections", "fields"]
    assert list(site)[:3] == ["addresses", "routes", "headers"]


def test_without_places() -> None:
    text = dump(CONFIG, with_places=False)
    assert "place" not in text and "Caddyfile" not in text
    assert load(text) == CONFIG


def test_credentials_are_not_in_it() -> None:
    endpoint = replace(ENDPOINT, credentials="user:secret")
    pool = replace(POOL, endpoints=(endpoint,))
    config = Config((replace(CONFIG.sites[0], routes=(RouteSpec("/", pool),)),))
    text = dump(config)
    assert "secret" not in text and "user" not in text
    assert '"credentials": "***"' in text
    with pytest.raises(ConfigError, match="had credentials, and a dump does not hold them"):
        load(text)


def test_passwords_are_not_in_it() -> None:
    auths = (BasicAuthSpec("bob", "secret", paths=("/",)), BasicAuthSpec("ann", file="users", paths=("/",)))
    config = Config((replace(CONFIG.sites[0], auths=auths),))
    text = dump(config)
    assert "secret" not in text and "secret" not in repr(config)
    assert text.count('"password": "***"') == 1
    with pytest.raises(ConfigError, match=r"auths\[0\] had credentials"):
        load(text)
    only_a_file = Config((replace(CONFIG.sites[0], auths=auths[1:]),))
    assert load(dump(only_a_file)) == only_a_file


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not a dumped configuration"),
        ("[]", "config must be an object"),
        ("{}", "missing 1 required positional argument"),
        ('{"sites": {}}', "config.sites must be a list"),
        ('{"sites": [], "x": 1}', "config has no `x`"),
        ('{"sites": [{"addresses": [], "bind": 1}]}', "config.sites[0].bind must be str"),
        ('{"sites": [{"addresses": [], "place": "x"}]}', "not a dumped configuration"),
        ('{"sites": [{"addresses": [], "place": 1}]}', "config.sites[0].place must be text"),
        ('{"sites": [{"addresses": [], "limits": {"header": true}}]}', "limits.header must be int"),
        ('{"sites": [{"addresses": [], "limits": {"body": [["/"]]}}]}', "limits.body[0] must have 2 items"),
        ('{"sites": [{"addresses": [{"scheme": "x"}]}]}', "scheme must be one of http, https"),
    ],
)
def test_what_is_no_dump_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(text)
    assert why in raised.value.mistakes[0].message


def test_whole_numbers_may_stand_for_seconds() -> None:
    text = '{"sites": [{"addresses": [], "timeouts": {"header": 5, "idle": null}}]}'
    timeouts = load(text).sites[0].timeouts
    assert (timeouts.header, timeouts.idle) == (5.0, None)
    assert isinstance(timeouts.header, float)
