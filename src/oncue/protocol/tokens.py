"""Tokens: what is said of waits that somebody outside ends (wire contract §5)."""

import datetime
from typing import Literal, TypeAlias

import msgspec

from oncue.protocol.codec import NOTHING

TokenStatus: TypeAlias = Literal["WAITING", "COMPLETED", "TIMED_OUT"]


class CreateTokenRequest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A token is wanted; the parent's fields are ours, for calls from inside a run."""

    timeout: str | None = None
    """A duration, or an ISO date; absent: it never times out."""
    tags: str | list[str] | None = None
    idempotency_key: str | None = None
    idempotency_key_ttl: str | None = msgspec.field(default=None, name="idempotencyKeyTTL")
    parent_run_id: str | None = None
    parent_epoch: int | None = None
    parent_worker_id: str | None = None
    call_key: str | None = None


class CreateTokenResponse(msgspec.Struct, frozen=True, rename="camel"):
    """A token that may be waited for."""

    id: str
    is_cached: bool
    url: str
    """Posted to, it completes the token with the body, without a key."""


class CompleteTokenRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the token is completed with: any JSON value."""

    data: msgspec.Raw = NOTHING


class CompleteTokenResponse(msgspec.Struct, frozen=True):
    """The token is completed, now or before."""

    success: bool = True


class TokenView(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A token as it stands."""

    id: str
    url: str = ""
    """Its callback address; the route knows where the server is reached, and fills it in."""
    status: TokenStatus
    created_at: datetime.datetime
    tags: list[str]
    completed_at: datetime.datetime | None = None
    timeout_at: datetime.datetime | None = None
    idempotency_key: str | None = None
    idempotency_key_expires_at: datetime.datetime | None = None
    output: str | None = None
    """What it was completed with, as the document's text; of one that timed out, an object with a ``message``."""
    output_type: str | None = None
    output_is_error: bool | None = None
    """Only said of one that timed out."""


class TokenPagination(msgspec.Struct, frozen=True, omit_defaults=True):
    """Cursors of the pages beside this one."""

    next: str | None = None
    previous: str | None = None


class TokenPage(msgspec.Struct, frozen=True):
    """Some tokens, newest first."""

    data: list[TokenView]
    pagination: TokenPagination
