"""Tokens that were not signed here, in every way they can be wrong."""

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue.api.signing import Signer
from oncue.engine.signing_keys import SigningKey
from oncue.protocol.errors import Unauthorized
from oncue.protocol.public_tokens import Realtime

SECRET = b"s" * 32
GOOD: dict[str, Any] = {
    "iss": "https://id.trigger.dev",
    "aud": "https://api.trigger.dev",
    "sub": "1",
    "pub": True,
    "key": 7,
    "scopes": ["read:runs"],
    "iat": 100,
    "exp": 1_000,
}
HEAD = {"alg": "HS256", "kid": "k1"}


async def load() -> list[SigningKey]:
    return [SigningKey("k1", SECRET, signs=True)]


def signer() -> Signer:
    return Signer(load, clock=lambda: 100.0, age=lambda: 0.0)


def part(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def made(claims: Any, head: Any = HEAD, secret: bytes = SECRET, digest: str = "sha256") -> str:
    signed = part(head) + b"." + part(claims)
    return (signed + b"." + part(hmac.new(secret, signed, digest).digest())).decode()


async def test_token_says_what_the_contract_says() -> None:
    token = (
        await signer().sign(1, 7, ["read:runs"], expires=1_000, realtime=Realtime(skip_columns=["payload"]))
    ).decode()

    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": "k1"}
    assert jwt.decode(token, options={"verify_signature": False}) == {**GOOD, "realtime": {"skipColumns": ["payload"]}}
    assert (await signer().verify(token)).scopes == ["read:runs"]


async def test_what_is_signed_by_hand_is_what_a_library_signs() -> None:
    ours = (await signer().sign(1, 7, ["read:runs"], expires=1_000)).decode()

    theirs = jwt.encode(GOOD, SECRET, algorithm="HS256", headers={"kid": "k1", "typ": None})

    assert ours.rpartition(".")[0].partition(".")[2] == theirs.rpartition(".")[0].partition(".")[2]
    assert await signer().verify(theirs) == await signer().verify(ours)


WRONG = {
    "another secret": made(GOOD, secret=b"t" * 32),
    "no secret": made(GOOD, secret=b""),
    "the kid as the secret": made(GOOD, secret=b"k1"),
    "no signature": f"{part(HEAD).decode()}.{part(GOOD).decode()}.",
    "alg none": made(GOOD, {"alg": "none", "kid": "k1"}),
    "alg none, unsigned": f"{part({'alg': 'none', 'kid': 'k1'}).decode()}.{part(GOOD).decode()}.",
    "alg HS512": made(GOOD, {"alg": "HS512", "kid": "k1"}, digest="sha512"),
    "alg HS512 over HS256": made(GOOD, {"alg": "HS512", "kid": "k1"}),
    "alg RS256": made(GOOD, {"alg": "RS256", "kid": "k1"}),
    "alg in lower case": made(GOOD, {"alg": "hs256", "kid": "k1"}),
    "no alg": made(GOOD, {"kid": "k1"}),
    "no kid": made(GOOD, {"alg": "HS256"}),
    "unknown kid": made(GOOD, {"alg": "HS256", "kid": "k2"}),
    "kid is a number": made(GOOD, {"alg": "HS256", "kid": 1}),
    "kid is a list": made(GOOD, {"alg": "HS256", "kid": ["k1"]}),
    "critical extension": made(GOOD, {**HEAD, "crit": ["b64"], "b64": False}),
    "head is a list": made(GOOD, [1]),
    "head is deep": made(GOOD, b"[" * 100_000),
    "claims are a list": made([GOOD]),
    "claims are deep": made(b"[" * 100_000),
    "claims are no JSON": made(b"{"),
    "another issuer": made({**GOOD, "iss": "https://evil"}),
    "another audience": made({**GOOD, "aud": "https://evil"}),
    "several audiences": made({**GOOD, "aud": ["https://api.trigger.dev", "https://evil"]}),
    "not public": made({**GOOD, "pub": False}),
    "public as text": made({**GOOD, "pub": "true"}),
    "key as text": made({**GOOD, "key": "7"}),
    "scopes as text": made({**GOOD, "scopes": "admin"}),
    "exp as text": made({**GOOD, "exp": "9999999999"}),
    "exp is endless": made(json.dumps(GOOD).replace("1000", "1e999").encode()),
    "sub as a number": made({**GOOD, "sub": 1}),
    **{f"no {name}": made({key: value for key, value in GOOD.items() if key != name})
       for name in ("iss", "aud", "sub", "pub", "key", "exp", "iat")},
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_token_that_is_wrong_in_any_way_is_refused(name: str) -> None:
    with pytest.raises(Unauthorized, match="is invalid"):
        await signer().verify(WRONG[name])


@pytest.mark.parametrize("expires", [100, 99, 0, -1])
async def test_token_that_has_expired_is_told_so(expires: int) -> None:
    with pytest.raises(Unauthorized, match="has expired"):
        await signer().verify(made({**GOOD, "exp": expires}))


async def test_changing_any_signed_letter_breaks_the_token() -> None:
    token = made(GOOD)
    signed = token.rindex(".")

    for at in range(signed):
        changed = "B" if token[at] == "A" else "A"
        with pytest.raises(Unauthorized):
            await signer().verify(token[:at] + changed + token[at + 1 :])


@given(st.text(max_size=200))
@settings(max_examples=200)
async def test_any_text_at_all_is_refused_as_unauthorized(text: str) -> None:
    for token in (text, f"{text}.{text}.{text}", f"{part(HEAD).decode()}.{text}.{text}"):
        with pytest.raises(Unauthorized):
            await signer().verify(token)


async def test_refusal_shows_nothing_of_the_token() -> None:
    text = secrets.token_hex(20)

    with pytest.raises(Unauthorized) as refused:
        await signer().verify(f"{part(HEAD).decode()}.{text}.{hashlib.sha256(text.encode()).hexdigest()}")

    assert text not in str(refused.value)
