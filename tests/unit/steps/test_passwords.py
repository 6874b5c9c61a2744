from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.steps.passwords import Apr1, Bcrypt, Plain, Sha1, apr1, htpasswd, stored, written

# Cost 4, the least: what matters here is not the time.
HASH = "$2b$04$ikb39OqjyG3gd2ueCXpxXuM7lzyZUmFRfq/3MMCRxB8rJ4aiPHFYa"


def test_plain() -> None:
    password = written("hiccup ü")
    assert isinstance(password, Plain) and not password.cost
    assert password.matches("hiccup ü".encode())
    assert not password.matches(b"hiccup") and not password.matches(b"")


@pytest.mark.parametrize("letter", "aby")
def test_bcrypt(letter: str) -> None:
    text = HASH.replace("$2b$", f"$2{letter}$")
    for password in (written(text), stored(text)):
        assert isinstance(password, Bcrypt) and password.cost
        assert password.matches(b"hiccup")
        assert not password.matches(b"hiccuq") and not password.matches(b"a\0b")


def test_bcrypt_reads_72_bytes() -> None:
    long = "$2b$04$SI5fANEUUcsNdQdh8TrdcefaffuycIcp485na0Gh/4Hlfh.oy8.Ru"
    assert stored(long).matches(b"x" * 72) and stored(long).matches(b"x" * 90)
    assert not stored(long).matches(b"x" * 71)


@pytest.mark.parametrize(
    "text", ["$2b$03" + HASH[6:], "$2b$32" + HASH[6:], "$2x$04" + HASH[6:], HASH[:-1], HASH + "x"]
)
def test_what_is_no_bcrypt_hash(text: str) -> None:
    for read in (written, stored):
        with pytest.raises(ValueError, match="bcrypt hash is malformed"):
            read(text)


def test_how_much_bcrypt_may_cost() -> None:
    assert written("$2b$17" + HASH[6:]).cost > written("$2b$16" + HASH[6:]).cost
    for read in (written, stored):
        with pytest.raises(ValueError, match="has a cost above 17"):
            read("$2b$18" + HASH[6:])


def test_sha1() -> None:
    password = stored("{SHA}dcAUljwz99qFjYR0YLTXx0RqLww=")
    assert isinstance(password, Sha1) and not password.cost
    assert password.matches(b"IedFOuGmTpT8") and not password.matches(b"iedFOuGmTpT8")


@pytest.mark.parametrize(
    ("given_", "salt", "made"),
    [
        # The last four as `openssl passwd -apr1` makes them.
        (b"IedFOuGmTpT8", b"l42y8rex", b"pOA2VJ0x/0TwaFeAF9nX61"),
        (b"", b"abcdefgh", b"L.PT565ESX4Tp2bqNs7Ie."),
        (b"a", b"abcdefgh", b"G8IsPsylW5ROvIKsQMRG61"),
        (b"x" * 17, b"abcdefgh", b"nEC.roMonfRVEvk1l1rnA/"),
        (b"abc" * 20, b"abcdefgh", b"Mv1kI1YdrS5oB83NmuayS0"),
    ],
)
def test_apr1(given_: bytes, salt: bytes, made: bytes) -> None:
    assert apr1(given_, salt) == made
    password = stored(f"$apr1${salt.decode()}${made.decode()}")
    assert isinstance(password, Apr1) and password.cost
    assert password.matches(given_) and not password.matches(given_ + b"x")


def test_plain_text_in_a_file() -> None:
    assert stored("secret").matches(b"secret")
    assert stored("{PLAIN}secret").matches(b"secret")


@pytest.mark.parametrize(
    "text",
    ["$1$abc$def", "$5$abc$def", "$6$abc$def", "{SSHA}abc", "{SHA}abc", "{SHA}!!", "$apr1$abc", "$2y$", ""],
)
def test_what_is_not_understood_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        stored(text)
    assert not text or text not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_file() -> None:
    text = "# users\n\nann:{SHA}x\r\n bob:$2y$..:x \nann:later\n:no\n"
    with pytest.raises(ValueError, match="line 6 is not USER:PASSWORD"):
        htpasswd(text)
    assert htpasswd(text.replace(":no\n", "")) == {"ann": "later", "bob": "$2y$..:x"}
    with pytest.raises(ValueError, match="line 1 is not USER:PASSWORD") as caught:
        htpasswd("hunter2")
    assert "hunter2" not in str(caught.value)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_only_the_same_password_matches(one: bytes, other: bytes) -> None:
    sha = stored("{SHA}" + base64.b64encode(hashlib.sha1(one).digest()).decode())
    assert sha.matches(one) and sha.matches(other) is (one == other)
    plain = Plain(one.decode("utf-8", "surrogateescape"))
    assert plain.matches(one) and plain.matches(other) is (one == other)
