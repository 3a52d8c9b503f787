"""Events: what others must hear of after a transaction has committed.

Engine functions note effects here; whoever commits the transaction applies them afterwards. Nothing is told before
the commit, and a transaction that rolls back tells nothing.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable

from oncue.engine.rows import Environment


class Effects:
    """What a transaction changed that somebody may be waiting for.

    Attributes:
        lined_up: Environment id to how many runs became claimable, at least.
        noticed: Workers that have a notice to fetch.
        due_sooner: A delayed or retried run was added, so the next one due may be earlier than was known.
        keys_changed: Secret keys were made or revoked.
        changed: Environment id to runs that subscribers may see differently now. One may stand there twice, and one
            may look the same as before; none that does not is missing.
        streamed: Environment id to runs of whose streams there are new chunks.
        told: Events to log, by name and fields. A transaction that rolls back logs nothing, and one that is made
            again logs once.
    """

    __slots__ = ("changed", "due_sooner", "keys_changed", "lined_up", "noticed", "streamed", "told")

    def __init__(self) -> None:
        self.lined_up: Counter[int] = Counter()
        self.noticed: set[uuid.UUID] = set()
        self.due_sooner = False
        self.keys_changed = False
        self.changed: defaultdict[int, list[uuid.UUID]] = defaultdict(list)
        self.streamed: defaultdict[int, list[uuid.UUID]] = defaultdict(list)
        self.told: list[tuple[str, dict[str, object]]] = []

    def tell(self, event: str, **fields: object) -> None:
        """Note an event of the catalogue in ``oncue.telemetry``."""
        self.told.append((event, fields))

    def line_up(self, environment: Environment, runs: int) -> None:
        """Note that runs of an environment became claimable."""
        if runs > 0:
            self.lined_up[environment.id] += runs

    def change(self, environment: Environment, runs: Iterable[uuid.UUID]) -> None:
        """Note that runs of an environment changed, or came to be; cheap, for every move of every run is noted."""
        self.changed[environment.id].extend(runs)

    def stream(self, environment: Environment, run: uuid.UUID) -> None:
        """Note that a stream of a run has new chunks."""
        self.streamed[environment.id].append(run)

    def merge(self, other: "Effects") -> None:
        """Add what another transaction changed."""
        self.lined_up.update(other.lined_up)
        self.noticed |= other.noticed
        self.due_sooner |= other.due_sooner
        self.keys_changed |= other.keys_changed
        for environment_id, runs in other.changed.items():
            self.changed[environment_id] += runs
        for environment_id, runs in other.streamed.items():
            self.streamed[environment_id] += runs
        self.told += other.told

    def __bool__(self) -> bool:
        """Whether there is anything that other servers must hear of whoever subscribes."""
        return bool(self.lined_up or self.noticed or self.due_sooner or self.keys_changed)
