"""Streams: what is said to who writes a stream of a run, or sends to it.

Source: wire contract §6.4.
"""

from typing import Literal

import msgspec


class StreamRegistered(msgspec.Struct, frozen=True):
    """How the chunks of a stream are to be sent."""

    version: Literal["v1"] = "v1"


class ChunksTaken(msgspec.Struct, frozen=True):
    """Chunks are stored."""

    ok: bool = True


class SendInput(msgspec.Struct, frozen=True):
    """A value for a run that goes on."""

    data: msgspec.Raw = msgspec.Raw(b"null")


class StreamEvent(msgspec.Struct, frozen=True):
    """A server-sent event of a stream."""

    data: str
    """A chunk, as JSON in one line; empty in an event that only says where reading begins."""
    id: str
    """Milliseconds since 1970 and the chunk's number, with a dash between; sent back as ``Last-Event-ID``."""
