"""Tokens: what ``wait.create_token`` returns, and how a wait for a token ended.

Taken apart with ``match``: ``Completed`` holds the output, ``TimedOut`` nothing.
"""

import datetime
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias

import msgspec

from oncue.protocol import codec, tokens
from oncue.protocol.errors import WaitTimedOut
from oncue.protocol.tokens import TokenStatus


@dataclass(frozen=True)
class Token:
    """Something to wait for that somebody outside completes."""

    id: str
    """``waitpoint_`` and 26 characters; complete it with ``wait.complete_token(id, data)``."""
    url: str
    """Posted to, it completes the token with the JSON body; whoever has it needs no key."""
    is_cached: bool = False
    """The idempotency key stood for this token already."""
    public_access_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Completed:
    """Somebody completed the token."""

    id: str
    output: Any
    """What it was completed with."""
    ok: Literal[True] = field(default=True, init=False, repr=False)

    def unwrap(self) -> Any:  # noqa: ANN401 - whatever it was completed with
        """Return the output."""
        return self.output


@dataclass(frozen=True)
class TimedOut:
    """Nobody completed the token in time."""

    id: str
    ok: Literal[False] = field(default=False, init=False, repr=False)

    def unwrap(self) -> NoReturn:
        """Raise, since there is no output.

        Raises:
            WaitTimedOut: Always.
        """
        raise WaitTimedOut(self.id)


class TokenView(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A token as it stands."""

    id: str
    url: str
    """Its callback address."""
    status: TokenStatus
    created_at: datetime.datetime
    tags: list[str]
    completed_at: datetime.datetime | None = None
    timeout_at: datetime.datetime | None = None
    idempotency_key: str | None = None
    """The hash that was sent."""
    idempotency_key_expires_at: datetime.datetime | None = None
    output: Any = None
    """What it was completed with, once its status is ``COMPLETED``."""


TokenResult: TypeAlias = Completed | TimedOut


def shown(view: tokens.TokenView) -> TokenView:
    """Return what the server told of a token, with the output read."""
    told = {name: getattr(view, name) for name in TokenView.__struct_fields__}
    if view.output_is_error or view.output is None:
        return TokenView(**{**told, "output": None})
    return TokenView(**{**told, "output": codec.restore(view.output.encode(), view.output_type or codec.JSON)})
