"""Rows that several engine modules share."""

import uuid
from typing import Literal

import msgspec


class Environment(msgspec.Struct, frozen=True):
    """Where a caller may act: every query is scoped to one."""

    id: int
    slug: str
    kind: Literal["DEVELOPMENT", "PRODUCTION"]

    @property
    def is_development(self) -> bool:
        """Whether it is where code is written: runs go wherever a worker is, on the code as it is now."""
        return self.kind == "DEVELOPMENT"


class RunId(msgspec.Struct, frozen=True):
    """The id of a run, as a query returns it."""

    run_id: uuid.UUID


class LineId(msgspec.Struct, frozen=True):
    """The id of a line, as a query returns it."""

    id: int
