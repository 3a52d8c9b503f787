"""Last rows: what subscriptions to single runs keep of them, so that who comes back is answered without a query.

A row may hold a payload and an output of half a megabyte each, and one run may be subscribed to in many ways. So there
is a bound for all of them together: the row that was used longest ago goes, and is read again should somebody ask.
"""

from typing import Final, Generic, TypeVar

from oncue.api.electric import Shown

Keeper = TypeVar("Keeper")

_MOST_BYTES: Final = 64 * 1024 * 1024


class LastRows(Generic[Keeper]):
    """Rows by who keeps them, in the order of their last use."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: dict[Keeper, Shown] = {}
        self._bytes = 0

    def get(self, keeper: Keeper) -> Shown | None:
        """Return a row that is used; None where there is none, or none any more."""
        row = self._rows.pop(keeper, None)
        if row is not None:
            self._rows[keeper] = row
        return row

    def put(self, keeper: Keeper, row: Shown) -> None:
        """Keep a row in the place of the one before, and let others go where it takes too much."""
        self.drop(keeper)
        self._rows[keeper] = row
        self._bytes += len(row)
        while self._bytes > _MOST_BYTES:
            self.drop(next(iter(self._rows)))

    def drop(self, keeper: Keeper) -> None:
        """Keep a row no longer; harmless where there is none."""
        row = self._rows.pop(keeper, None)
        if row is not None:
            self._bytes -= len(row)
