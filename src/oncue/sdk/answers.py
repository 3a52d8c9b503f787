"""Answers: what comes back for a request, and what a refusal says.

Source: wire contract §1.3, §1.4.
"""

import datetime
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from oncue.protocol.errors import ApiError, RateLimited, Unauthorized, from_response
from oncue.sdk import settings

_XML_CODE: Final = re.compile(rb"<Code>([A-Za-z]{1,80})</Code>")


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    """Looked up in lower case."""
    body: bytes
    at: float
    """When it came, by this machine's clock, in epoch seconds."""


class NoAnswer(NamedTuple):
    """The server could not be reached, or fell silent."""

    error: Exception
    at: float


def refusal(answer: Answer, where: settings.Settings) -> ApiError:
    """Return the error that the server raised, as its class."""
    error = said(answer)
    if isinstance(error, Unauthorized):
        return Unauthorized(
            f"{where.api_url} does not accept the key in {settings.SECRET_KEY}; make one with `oncue keys create`, and "
            f"check that it belongs to this server, which says: {error.message}",
            status=answer.status,
        )
    return error


def said(answer: Answer, before: str = "") -> ApiError:
    """Return the error that an answer tells of; ``before`` begins its message."""
    message, code = _error_of(answer)
    return from_response(answer.status, code, before + message, reset_at=reset_at(answer))


def retry_after_ms(error: Exception, at: float) -> int | None:
    """Return how many milliseconds from ``at`` a rate limit ends, where that was the reason."""
    if not isinstance(error, RateLimited) or error.reset_at is None:
        return None
    return max(0, round((error.reset_at.timestamp() - at) * 1000))


def reset_at(answer: Answer) -> datetime.datetime | None:
    """Return when a rate limit ends, where the answer says so."""
    try:
        return datetime.datetime.fromtimestamp(int(answer.headers["x-ratelimit-reset"]) / 1000, datetime.UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return None


def _error_of(answer: Answer) -> tuple[str, str | None]:
    """Return the message and code of an error body, in each form that wire contract §1.4 knows."""
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        body = None
    match body:
        case {"error": {"message": str(message), **inner}}:
            code = inner.get("code")
        case {"error": str(message)}:
            code = body.get("code")
        case _:
            # Clouds' stores answer in XML.
            named = _XML_CODE.search(answer.body)
            text = (named[1] if named else answer.body[:200]).decode(errors="replace").strip()
            message, code = f"{answer.status} {text}".strip(), None
    return message, code if isinstance(code, str) else None
