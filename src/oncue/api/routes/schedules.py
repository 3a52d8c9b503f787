"""Schedules: there are none yet, and whoever asks is told; the time zones that they will know are there.

Source: wire contract §7.
"""

import asyncio
import functools
import zoneinfo
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec

from oncue.api import answers
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route

_UTC: Final = "UTC"
_NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules", _UTC})
_NONE_YET: Final = (
    "schedules do not exist yet in this server; let cron, or what your platform has in its place, trigger the task"
)


class Timezones(msgspec.Struct, frozen=True):
    """Names of time zones."""

    timezones: list[str]


async def timezones(call: Call, _: None) -> Answer:
    """List time zones, UTC first."""
    # Asking for their names reads every file of the zone database.
    names = await asyncio.to_thread(_names)
    return Answer(Timezones(names if call.query.get("excludeUtc") == "true" else [_UTC, *names]))


async def list_schedules(_call: Call, _: None) -> Answer:
    """List schedules, some day."""
    return _none_yet()


async def create(_call: Call, _: None) -> Answer:
    """Make a schedule, some day."""
    return _none_yet()


async def retrieve(_call: Call, _: None) -> Answer:
    """Show a schedule, some day."""
    return _none_yet()


async def update(_call: Call, _: None) -> Answer:
    """Change a schedule, some day."""
    return _none_yet()


async def delete(_call: Call, _: None) -> Answer:
    """Delete a schedule, some day."""
    return _none_yet()


async def activate(_call: Call, _: None) -> Answer:
    """Let a schedule trigger again, some day."""
    return _none_yet()


async def deactivate(_call: Call, _: None) -> Answer:
    """Let a schedule trigger no more, some day."""
    return _none_yet()


def _none_yet() -> Answer:
    return answers.refusal(HTTPStatus.NOT_IMPLEMENTED, _NONE_YET, "not_implemented")


@functools.cache
def _names() -> list[str]:
    return sorted(zoneinfo.available_timezones() - _NO_ZONES)


def _coming(method: str, path: str, handle: Callable[[Call, None], Awaitable[Answer]], summary: str) -> Route[None]:
    return Route(
        method=method,
        path=path,
        handle=handle,
        summary=f"{summary}: not there yet",
        answer=answers.ErrorBody,
        statuses=(HTTPStatus.NOT_IMPLEMENTED,),
    )


_ALL: Final = "/api/v1/schedules"
_ONE: Final = "/api/v1/schedules/{schedule}"

ROUTES = (
    Route(
        method="GET",
        path="/api/v1/timezones",
        handle=timezones,
        summary="List the names of time zones",
        answer=Timezones,
        query=("excludeUtc",),
        authenticated=False,
    ),
    _coming("GET", _ALL, list_schedules, "List schedules"),
    _coming("POST", _ALL, create, "Make a schedule"),
    _coming("GET", _ONE, retrieve, "Retrieve a schedule"),
    _coming("PUT", _ONE, update, "Change a schedule"),
    _coming("DELETE", _ONE, delete, "Delete a schedule"),
    _coming("POST", f"{_ONE}/activate", activate, "Let a schedule trigger again"),
    _coming("POST", f"{_ONE}/deactivate", deactivate, "Let a schedule trigger no more"),
)
