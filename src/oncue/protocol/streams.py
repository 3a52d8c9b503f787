"""Streams: what is answered to who writes a stream of a run.

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
