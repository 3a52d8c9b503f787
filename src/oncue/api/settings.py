"""Settings: what a server can be told. Where the values come from is decided in ``cli/settings``."""

import datetime

import msgspec

from oncue.engine import recovery
from oncue.engine.rate_limits import RateLimit
from oncue.protocol import limits

_SECOND = datetime.timedelta(seconds=1)
_ENVELOPE_BYTES = 1024 * 1024
"""Room for options, metadata and field names around a payload."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one server process works."""

    database_url: str
    host: str = "127.0.0.1"
    port: int = 3030
    """0 takes any free port."""
    cors_origins: tuple[str, ...] = ("*",)
    """Pages that may use, from a browser, the routes which take public access tokens; ``*`` stands for all."""
    bootstrap_key: str | None = None
    """A secret key that the environment which it names, as ``tr_dev_sk_...`` does, accepts from the start."""
    traffic_connections: int = 10
    """Connections to PostgreSQL for triggers, outcomes, batches and reading."""
    control_connections: int = 4
    """Connections kept for claims, heartbeats and health, which a flood of triggers cannot take."""
    lease: datetime.timedelta = 30 * _SECOND
    """A worker that is silent for so long has lost its runs."""
    heartbeat: datetime.timedelta = 5 * _SECOND
    """How often workers are told to say that they are alive."""
    claim_wait: datetime.timedelta = 20 * _SECOND
    """The longest that a claim is held open; below the idle timeouts of common proxies."""
    max_recoveries: int = recovery.MAX_RECOVERIES
    """How often a run may lose its worker before it has crashed, 0 or more."""
    rate_limit_requests: RateLimit | None = RateLimit(100_000, 100_000, 10)
    """Of each production environment, over all servers; None: no limit. A guard against loops, no quota."""
    rate_limit_public_requests: RateLimit | None = RateLimit(60, 60, 60)
    """Of each public access token for a production environment, likewise. Source: wire contract §1.5."""
    rate_limit_batch_items: RateLimit | None = RateLimit(1_000_000, 500_000, 10)
    """Of each production environment, for the items of batches."""
    drain: datetime.timedelta = 10 * _SECOND
    """How long requests in progress may take once the server is told to stop."""
    trigger_group: int = 500
    """The most triggers that share a transaction."""
    trigger_flushes: int = 2
    """How many such transactions are under way at once, for each environment."""
    objects: str = ".oncue/objects"
    """Where large payloads and outputs are kept: a folder, or a cloud's store; see ``store/objects/opening``."""
    offload_bytes: int = limits.OFFLOAD_BYTES
    """A payload or output that arrives within a request and is larger goes to the object store."""
    max_payload_bytes: int = limits.MAX_PAYLOAD_BYTES
    max_output_bytes: int = limits.MAX_OUTPUT_BYTES
    max_batch_items: int = limits.MAX_BATCH_ITEMS
    """Items of a batch that says how many it has."""
    address_lifetime: datetime.timedelta = 3_600 * _SECOND
    """For how long an address counts under which an object can be stored or fetched."""
    retention: datetime.timedelta | None = None
    """How long runs are kept, by whole days from the day on which they were triggered; None: for ever."""
    max_trigger_bytes: int | None = None
    """Body of a trigger, and line of a batch; None: as the largest payload needs."""
    max_body_bytes: int = _ENVELOPE_BYTES
    """Any other body."""

    @property
    def trigger_body_bytes(self) -> int:
        """Body of a trigger, and line of a batch: a payload sent as a string is longer by its escapes."""
        return self.max_trigger_bytes or 2 * self.max_payload_bytes + _ENVELOPE_BYTES

    @property
    def outcomes_body_bytes(self) -> int:
        """Body of a worker's report."""
        return self.max_output_bytes + _ENVELOPE_BYTES

    @property
    def max_object_bytes(self) -> int:
        """The largest object that a client may store by itself."""
        return max(self.max_payload_bytes, self.max_output_bytes)

    def __repr__(self) -> str:
        """Name the address only: the database's URL and the bootstrap key are secrets."""
        return f"{type(self).__name__}(host={self.host!r}, port={self.port})"
