"""Public tokens: what is said to get one, and what one says (wire contract §3)."""

from typing import Final

import msgspec

ISSUER: Final = "https://id.trigger.dev"
AUDIENCE: Final = "https://api.trigger.dev"


class Realtime(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True):
    """What subscriptions made with a token are not shown; with a wrong name for it they would be."""

    skip_columns: list[str] = []


class PublicTokenRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A public token is wanted."""

    scopes: list[str]
    expiration_time: str | int | float | None = None
    """A span such as ``1h``, or seconds since 1970; absent: 15 minutes from now."""
    one_time_use: bool = False
    """It makes a run or a batch once."""
    realtime: Realtime | None = None


class PublicTokenResponse(msgspec.Struct, frozen=True):
    """A public token."""

    token: str


class CommonClaims(msgspec.Struct, frozen=True):
    """What every public token of an environment says, for clients that sign tokens by themselves."""

    sub: str
    """The environment's id."""
    pub: bool = True


class Claims(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a public token says."""

    iss: str
    aud: str
    sub: str
    """The environment's id."""
    pub: bool
    key: int
    """The secret key that asked for the token, with which it dies; ours."""
    scopes: list[str] = []
    iat: int
    exp: int
    """Seconds since 1970, as ``iat``."""
    jti: str | None = None
    """Tells tokens apart that say the same; ours."""
    otu: bool = False
    """It makes a run or a batch once."""
    realtime: Realtime | None = None
