"""Limits: every number at which a request is refused, with its source.

They are checked at the edge, before the engine; in a batch a bad item fails alone.
"""

from typing import Final

MAX_PAYLOAD_BYTES: Final = 10 * 1024 * 1024
"""A payload, as JSON text. Source: trigger-functions page, "Large payloads"."""

MAX_OUTPUT_BYTES: Final = 100 * 1024 * 1024
"""A task's output, as JSON text. Source: trigger-functions page, "Large payloads"."""

OFFLOAD_BYTES: Final = 512 * 1024
"""A larger document is kept in the object store. Source: trigger-functions page, "Large payloads"."""

MAX_BATCH_ITEMS: Final = 1_000
"""Items of one batch. Source: trigger-functions page, ``yourTask.trigger()``."""

MAX_OPEN_BATCH_ITEMS: Final = 100_000_000
"""Items of a batch whose number is not known when it is created: of a stream."""

MAX_WHOLE_BATCH_ITEMS: Final = 500
"""Items of a batch that come with the request that makes it. Source: wire contract §2.5."""

MAX_WHOLE_BATCH_BYTES: Final = 1024 * 1024
"""Body of that request. Source: wire contract §2.5."""

MAX_BULK_RUN_IDS: Final = 500
"""Runs that a bulk action can name one by one. Source: wire contract §2.7."""

MAX_BULK_ACTION_NAME_LENGTH: Final = 255
"""Source: the official API's own."""

MAX_METADATA_BYTES: Final = 256 * 1024
"""Metadata of a run, as JSON text. Source: wire contract §2.1."""

MAX_COMPLETION_BYTES: Final = 3 * 1024 * 1024
"""Body with which a token that runs wait for is completed. Source: wire contract §5."""

MAX_METADATA_UPDATE_BYTES: Final = 1024 * 1024
"""Body of a change of metadata: operations on a run, its parent and its root, each up to their own limit."""

MAX_METADATA_PATH_STEPS: Final = 100
"""Names and indexes of a path into metadata, so that no path nests deeper than JSON readers follow."""

MAX_TAGS: Final = 10
MAX_TAG_LENGTH: Final = 128
MAX_TASK_ID_LENGTH: Final = 256
MAX_QUEUE_NAME_LENGTH: Final = 128
MAX_CONCURRENCY_KEY_BYTES: Final = 512
MAX_REGION_LENGTH: Final = 64
MAX_VERSION_LENGTH: Final = 64
MAX_IDEMPOTENCY_KEY_LENGTH: Final = 2_048
MAX_CALL_KEY_LENGTH: Final = 2_560
"""A task's id and an idempotency key fit in."""
MAX_DEBOUNCE_KEY_LENGTH: Final = 512
MAX_CONCURRENCY_LIMIT: Final = 2_147_483_647
"""Largest limit of a queue that code can declare: PostgreSQL's int."""

MAX_OVERRIDE_LIMIT: Final = 100_000
"""Largest limit of a queue that an operator can set. Source: the official API's own."""

MAX_ATTEMPTS: Final = 250
"""Ceiling of ``max_attempts``. Source: wire contract §8.2."""

MAX_PRIORITY: Final = 2_147_483
"""Seconds of head start; as milliseconds it fits 32 bits. Source: wire contract §2.1."""

LAST_YEAR: Final = 9_000
"""Of the moment until which a run is held; later ones are too close to the end of the calendar to be reckoned with."""

MAX_CREATE_BATCH_BYTES: Final = 128 * 1024
"""Body of a batch's creation. Source: wire contract §2.2."""

MAX_ERROR_MESSAGE_CHARS: Final = 20_000
"""A task's error message and its traceback are cut to this, so that one failure cannot fill the database."""

MAX_REALTIME_ROWS: Final = 1_000
"""Runs of a subscription's snapshot. Source: wire contract §6.1."""

MAX_SNAPSHOT_BYTES: Final = 4 * 1024 * 1024
"""Of payloads and outputs in a snapshot of several runs, and as much again of metadata; further ones are left out."""

MAX_SUBSCRIPTIONS: Final = 10_000
"""Subscriptions that one server keeps in memory, and requests of theirs that it holds open."""

MAX_TOKEN_SUBSCRIPTIONS: Final = 2_000
"""Of these what one public access token may have, so that one that got about does not take them all."""

MAX_TOKEN_UNREAD_BYTES: Final = 32 * 1024 * 1024
"""Large answers that may be on their way to the bearers of one public access token, from one server."""

MAX_UNREAD_BYTES: Final = 256 * 1024 * 1024
"""The same of all public access tokens together."""

MAX_STREAM_READERS: Final = 10_000
"""Readers of streams that one server has; none of its environments has more than it leaves to others."""

MAX_STREAM_KEY_LENGTH: Final = 256

MAX_CHUNK_BYTES: Final = 512 * 1024
"""A chunk of a stream, as JSON text. Source: wire contract §6.4."""

MAX_INPUT_BYTES: Final = 1024 * 1024
"""Body of what a run is sent, as JSON text. Source: wire contract §6.4."""

MAX_STREAM_TIMEOUT: Final = 600
"""Seconds without a chunk after which a reader may ask that its stream ends. Source: wire contract §6.4."""

MAX_PLACES: Final = 1_000
"""Runs that one claim may ask for."""

MAX_PUBLIC_TOKEN_BYTES: Final = 6 * 1024
"""A public access token: it travels in a header, for all of which common proxies allow 8 KB."""

MAX_PUBLIC_TOKEN_LIFETIME_S: Final = 30 * 86_400
"""For how many seconds a public access token may count. Source: wire contract §3.1."""
