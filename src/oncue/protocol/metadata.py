"""Metadata and tags: how a run's own documents are changed while it runs.

The shapes are the wire contract's (§5). Our own addition, which official clients never send, is ``epoch``: which
execution of the run speaks. What an operation does to a document is in ``metadata_operations.py``.

Life of a run, this module's part::

    sdk/metadata -> MetadataUpdate -> api/routes/run_documents -> engine/run_metadata
"""

from typing import TypeAlias

import msgspec

from oncue.protocol.codec import NOTHING


class SetKey(msgspec.Struct, frozen=True, tag="set", tag_field="type"):
    """Put a value in a place; what was there is gone."""

    key: str
    """A key of the document, or a path into it if it starts with ``$.``: ``$.user.name``, ``$.logs[0]``."""
    value: msgspec.Raw


class DeleteKey(msgspec.Struct, frozen=True, tag="delete", tag_field="type"):
    """Take a place out of the document; nothing happens where there is none."""

    key: str


class AppendValue(msgspec.Struct, frozen=True, tag="append", tag_field="type"):
    """Add a value to the end of an array; what is no array becomes the first element of one."""

    key: str
    value: msgspec.Raw


class RemoveValue(msgspec.Struct, frozen=True, tag="remove", tag_field="type"):
    """Take every element that equals the value out of an array; nothing happens where there is none."""

    key: str
    value: msgspec.Raw


class IncrementNumber(msgspec.Struct, frozen=True, tag="increment", tag_field="type"):
    """Add to a number; what is no number counts as 0."""

    key: str
    value: int | float


class ReplaceDocument(msgspec.Struct, frozen=True, tag="update", tag_field="type"):
    """Replace the whole document by another object."""

    value: msgspec.Raw


Operation: TypeAlias = SetKey | DeleteKey | AppendValue | RemoveValue | IncrementNumber | ReplaceDocument


class MetadataUpdate(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Changes of a run's metadata, and of its parent's and root's; all are made, or none."""

    metadata: msgspec.Raw = NOTHING
    """Replaces what there is, before any operation."""
    operations: list[Operation] = []
    parent_operations: list[Operation] = []
    """For the run that triggered this one; for this one where there is none."""
    root_operations: list[Operation] = []
    """For the first run of the family; for this one where it is the first."""
    epoch: int | None = None
    """Which execution of the run speaks; one that no longer counts is refused with ``lease_lost``."""


class MetadataView(msgspec.Struct, frozen=True):
    """A run's metadata as it stands."""

    metadata: msgspec.Raw
    """An object."""


class AddTagsRequest(msgspec.Struct, frozen=True):
    """Tags to add to a run; those it has, and blank ones, are passed over."""

    tags: str | list[str]


class AddTagsResponse(msgspec.Struct, frozen=True):
    """What became of the tags."""

    message: str
