"""Scopes: what a public access token may do, as text, and whether that covers a thing.

``action[:type[:id]]``. Only the first two colons part anything, so an id may hold colons: ``read:tags:user:123``. An
action or type that is empty, and an id that is, cover nothing: ``read:runs:`` is a mistake, and not every run.

Source: wire contract §3.2.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

ADMIN: Final = "admin"
"""Alone it covers everything; with a type it is an action like any other."""
ANY_ACTION: Final = "*"
ANY_TYPE: Final = "all"

ACTIONS: Final = ("read", "write", "trigger", "batchTrigger", "update", ADMIN, ANY_ACTION)

_ALSO_BY_WRITE: Final = frozenset({"trigger", "batchTrigger", "update"})
"""Actions that ``write`` covers too."""


class Resource(NamedTuple):
    """A thing that something is to be done to; without an id the whole collection."""

    type: str
    id: str | None = None


class Scope(NamedTuple):
    """One scope."""

    action: str
    type: str | None = None
    id: str | None = None

    @property
    def allows_something(self) -> bool:
        """Whether there is anything that it could cover: types may be unknown here, actions may not."""
        return self == _EVERYTHING or (self.action in ACTIONS and self.type is not None)

    def covers(self, action: str, resource: Resource) -> bool:
        """Whether this scope lets its bearer do something."""
        if self == _EVERYTHING:
            return True
        if self.action not in {action, ANY_ACTION} and not (self.action == "write" and action in _ALSO_BY_WRITE):
            return False
        if self.type not in {resource.type, ANY_TYPE}:
            return False
        return self.id is None or self.id == resource.id


_EVERYTHING: Final = Scope(ADMIN)


class Scopes:
    """The scopes of a token."""

    __slots__ = ("_scopes",)

    def __init__(self, texts: Iterable[str]) -> None:
        """Read scopes; what is none covers nothing."""
        self._scopes = tuple(scope for text in texts if (scope := parse(text)) is not None)

    def cover(self, action: str, *resources: Resource) -> bool:
        """Whether they let their bearer do something to any one of several things."""
        return any(scope.covers(action, resource) for scope in self._scopes for resource in resources)

    def name(self, action: str, types: Iterable[str]) -> bool:
        """Whether any scope is about an action on things of these types, whichever things they are."""
        return any(scope.covers(action, Resource(type_, scope.id)) for scope in self._scopes for type_ in types)


def parse(text: str) -> Scope | None:
    """Read a scope; None where the text is none."""
    parts = text.split(":", 2)
    return Scope(*parts) if all(part.strip() for part in parts) else None


def show(action: str, type_: str | None = None, id_: str | None = None) -> str:
    """Write a scope."""
    return ":".join(part for part in (action, type_, id_) if part is not None)
