"""Settings: what the environment tells the platform's side.

The only reader of environment variables here, as ``sdk/settings`` is on the user's side. An option on the command line
wins over its variable. A value that makes no sense raises SettingsError with the variable's name, what was found and
what is accepted; secrets are never repeated.
"""

import datetime
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from oncue.protocol import limits
from oncue.protocol.errors import SettingsError
from oncue.sdk.settings import API_URL, SECRET_KEY

DEFAULT_FOLDER: Final = ".oncue"
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 3030
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

DEFAULT_MAX_RECOVERIES: Final = 5
_LARGEST_PORT: Final = 65_535
_MOST_RECOVERIES: Final = 30_000
_LEAST_BYTES: Final = 1_024
_MOST_BYTES: Final = 1_000_000_000
"""As text, which is how a column holds a document, PostgreSQL takes no more."""
_MOST_ITEMS: Final = 100_000
_MOST_DAYS: Final = 3_650
_OBJECTS: Final = "objects"
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@,*]+", re.ASCII)
"""Of a page, without a path."""
_DEFAULT_PORT: Final = re.compile(r"https://.*:443|http://.*:80")
"""Which browsers leave out."""
_RATE: Final = re.compile(r"(\d{1,10})\+(\d{1,10})/(\d{1,5})s", re.ASCII)
_MOST_TOKENS: Final = 1_000_000_000
_LONGEST_S: Final = 86_400
_NO_RATE: Final = "off"
_BOOTSTRAP_KEY: Final = re.compile(r"tr_(dev|prod)_sk_[A-Za-z0-9]{24}")


class Rate(NamedTuple):
    """How much may happen: ``capacity`` at once, and ``refill`` more every ``seconds``."""

    capacity: int
    refill: int
    seconds: int


class Variable(NamedTuple):
    """One environment variable."""

    name: str
    accepted: str
    default: str
    meaning: str


DATABASE_URL: Final = Variable(
    "DATABASE_URL",
    "postgresql://user:password@host:port/database",
    "an embedded PostgreSQL in ONCUE_FOLDER",
    "The PostgreSQL server, 15 or newer, that keeps everything.",
)
FOLDER: Final = Variable(
    "ONCUE_FOLDER",
    "a folder's path",
    DEFAULT_FOLDER,
    "Where the embedded PostgreSQL and the key of `oncue dev` are kept.",
)
HOST: Final = Variable("ONCUE_HOST", "an address of this machine", DEFAULT_HOST, "Where the server listens.")
PORT: Final = Variable(
    "ONCUE_PORT",
    f"a port, 0 to {_LARGEST_PORT:,}; 0 takes any free one",
    str(DEFAULT_PORT),
    "Where the server listens.",
)
CORS_ORIGINS: Final = Variable(
    "ONCUE_CORS_ORIGINS",
    "origins such as https://app.example.com with commas between them; * for all, none for none",
    "*",
    "The pages that may call from a browser, with public access tokens; secret keys have no place in one.",
)
BOOTSTRAP_KEY: Final = Variable(
    "ONCUE_BOOTSTRAP_SECRET_KEY",
    "tr_dev_sk_ or tr_prod_sk_ and 24 letters or digits",
    "none",
    "A secret key that the server accepts from the start, for containers and tests.",
)
MAX_RECOVERIES: Final = Variable(
    "ONCUE_MAX_RECOVERIES",
    f"a whole number, 0 to {_MOST_RECOVERIES:,}",
    str(DEFAULT_MAX_RECOVERIES),
    "How often a run may lose its worker before it has crashed.",
)
OBJECTS_URL: Final = Variable(
    "ONCUE_OBJECTS_URL",
    "a folder's path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
    "objects in ONCUE_FOLDER",
    "Where payloads and outputs above ONCUE_OFFLOAD_BYTES are kept. Servers on several machines need one that all of "
    "them reach.",
)
OFFLOAD_BYTES: Final = Variable(
    "ONCUE_OFFLOAD_BYTES",
    f"a number of bytes, 1,024 to {_MOST_BYTES:,}",
    str(limits.OFFLOAD_BYTES),
    "The size above which a payload or output is kept in the object store.",
)
MAX_PAYLOAD_BYTES: Final = Variable(
    "ONCUE_MAX_PAYLOAD_BYTES",
    f"a number of bytes, 1,024 to {_MOST_BYTES:,}",
    str(limits.MAX_PAYLOAD_BYTES),
    "The largest payload.",
)
MAX_OUTPUT_BYTES: Final = Variable(
    "ONCUE_MAX_OUTPUT_BYTES",
    f"a number of bytes, 1,024 to {_MOST_BYTES:,}",
    str(limits.MAX_OUTPUT_BYTES),
    "The largest output.",
)
MAX_BATCH_ITEMS: Final = Variable(
    "ONCUE_MAX_BATCH_ITEMS",
    "a whole number, 1 to 100,000",
    str(limits.MAX_BATCH_ITEMS),
    "The most items of a batch that is not a stream.",
)
RETENTION_DAYS: Final = Variable(
    "ONCUE_RETENTION_DAYS",
    "a whole number, 1 to 3,650; 0 keeps everything",
    "0",
    "For how many days runs are kept, counted from the day on which they were triggered.",
)
_ACCEPTED_RATE: Final = (
    f"<capacity>+<refill>/<seconds>s such as 750+250/10s, with 1 to {_MOST_TOKENS:,} for the first two and 1 to "
    f"{_LONGEST_S:,} seconds, or {_NO_RATE}"
)
RATE_LIMIT_REQUESTS: Final = Variable(
    "ONCUE_RATE_LIMIT_REQUESTS",
    _ACCEPTED_RATE,
    "100000+100000/10s",
    "How many requests each production environment may make: so many at once, and so many more in that time.",
)
RATE_LIMIT_PUBLIC_REQUESTS: Final = Variable(
    "ONCUE_RATE_LIMIT_PUBLIC_REQUESTS",
    _ACCEPTED_RATE,
    "60+60/60s",
    "How many requests each public access token for a production environment may make, likewise.",
)
RATE_LIMIT_BATCH_ITEMS: Final = Variable(
    "ONCUE_RATE_LIMIT_BATCH_ITEMS",
    _ACCEPTED_RATE,
    "1000000+500000/10s",
    "How many items of batches each production environment may send, likewise.",
)
LOG: Final = Variable("ONCUE_LOG", ", ".join(LOG_LEVELS), "info", "The least important events that are logged.")

VARIABLES: Final = (
    DATABASE_URL,
    FOLDER,
    HOST,
    PORT,
    CORS_ORIGINS,
    BOOTSTRAP_KEY,
    MAX_RECOVERIES,
    OBJECTS_URL,
    OFFLOAD_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_OUTPUT_BYTES,
    MAX_BATCH_ITEMS,
    RETENTION_DAYS,
    RATE_LIMIT_REQUESTS,
    RATE_LIMIT_PUBLIC_REQUESTS,
    RATE_LIMIT_BATCH_ITEMS,
    LOG,
)
"""Everything that this module reads."""


def database_url() -> str | None:
    """Return the DSN of the PostgreSQL server, or None to use the embedded one.

    Raises:
        SettingsError: It is not a DSN.
    """
    url = _value(DATABASE_URL)
    if url is None:
        return None
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres") or not separator or not rest:
        found = f"begins with {scheme[:20]!r}" if separator else "is not an address"
        raise SettingsError(f"{DATABASE_URL.name} {found}; expected {DATABASE_URL.accepted}")
    return url


def folder(given: Path | None = None) -> Path:
    """Return the folder for what is kept on this machine."""
    return given or Path(_value(FOLDER) or DEFAULT_FOLDER)


def host(given: str | None = None) -> str:
    """Return the address to listen on."""
    return given or _value(HOST) or DEFAULT_HOST


def port(given: int | None = None) -> int:
    """Return the port to listen on; 0 stands for any free one.

    Raises:
        SettingsError: It is not a port.
    """
    if given is not None:
        return given
    text = _value(PORT)
    if text is None:
        return DEFAULT_PORT
    found = _whole(text, _LARGEST_PORT)
    if found is None:
        raise SettingsError(f"{PORT.name}={text[:20]!r} is not a port; expected {PORT.accepted}")
    return found


def cors_origins() -> tuple[str, ...]:
    """Return the origins of pages that may call from a browser.

    Raises:
        SettingsError: One of them is none.
    """
    text = _value(CORS_ORIGINS) or CORS_ORIGINS.default
    if text == "none":
        return ()
    # As browsers send them.
    found = tuple(origin.strip().lower() for origin in text.split(",") if origin.strip())
    for origin in found or (text,):
        if origin != CORS_ORIGINS.default and not _is_origin(origin):
            raise SettingsError(
                f"{CORS_ORIGINS.name}: {origin[:80]!r} is not an origin; expected {CORS_ORIGINS.accepted}"
            )
    return found


def _is_origin(text: str) -> bool:
    """Whether a browser would send just this: no path, no default port, nothing beyond ASCII."""
    is_sent_so = text.isascii() and _DEFAULT_PORT.fullmatch(text) is None
    return is_sent_so and _ORIGIN.fullmatch(text) is not None


def max_recoveries() -> int:
    """Return how often a run may lose its worker.

    Raises:
        SettingsError: It is no such number.
    """
    return _number(MAX_RECOVERIES, 0, _MOST_RECOVERIES)


def objects_url(folder_: Path) -> str:
    """Return where large payloads and outputs are kept.

    Args:
        folder_: Of what is kept on this machine; for where the environment says nothing.
    """
    return _value(OBJECTS_URL) or str((folder_ / _OBJECTS).absolute())


def size_bytes(variable: Variable) -> int:
    """Return a size.

    Args:
        variable: Which one.

    Raises:
        SettingsError: It is no such number.
    """
    return _number(variable, _LEAST_BYTES, _MOST_BYTES)


def max_batch_items() -> int:
    """Return how many items a batch may have.

    Raises:
        SettingsError: It is no such number.
    """
    return _number(MAX_BATCH_ITEMS, 1, _MOST_ITEMS)


def retention() -> datetime.timedelta | None:
    """Return for how long runs are kept that have ended; None: for ever.

    Raises:
        SettingsError: It is no number of days.
    """
    return datetime.timedelta(days=_number(RETENTION_DAYS, 0, _MOST_DAYS)) or None


def rate_limit(variable: Variable) -> Rate | None:
    """Return a rate limit; None where there is to be none.

    Args:
        variable: Which one.

    Raises:
        SettingsError: It is none.
    """
    text = _value(variable) or variable.default
    if text.lower() == _NO_RATE:
        return None
    match = _RATE.fullmatch(text)
    found = Rate(*map(int, match.groups())) if match else Rate(0, 0, 0)
    if not (
        1 <= found.capacity <= _MOST_TOKENS and 1 <= found.refill <= _MOST_TOKENS and 1 <= found.seconds <= _LONGEST_S
    ):
        raise SettingsError(f"{variable.name}={text[:40]!r} is no rate limit; expected {variable.accepted}")
    return found


def bootstrap_key() -> str | None:
    """Return the key that the server shall accept from the start.

    Raises:
        SettingsError: It has another shape.
    """
    key = _value(BOOTSTRAP_KEY)
    if key is not None and _BOOTSTRAP_KEY.fullmatch(key) is None:
        raise SettingsError(
            f"{BOOTSTRAP_KEY.name} has {len(key)} characters of another shape; expected {BOOTSTRAP_KEY.accepted}"
        )
    return key


def log_level(default: str = "info") -> str:
    """Return the least important level of events to log, in lower case.

    Args:
        default: Where the environment says nothing.

    Raises:
        SettingsError: There is no such level.
    """
    text = _value(LOG)
    if text is None:
        return default
    if text.lower() not in LOG_LEVELS:
        raise SettingsError(f"{LOG.name}={text!r} is no level; expected one of {LOG.accepted}")
    return text.lower()


def has_secret_key() -> bool:
    """Whether the environment has a key for the SDK's calls; see ``sdk/settings``."""
    return bool(os.environ.get(SECRET_KEY, "").strip())


def has_api_url() -> bool:
    """Whether the environment says where the SDK's calls go; see ``sdk/settings``."""
    return bool(os.environ.get(API_URL, "").strip())


def for_child(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return the environment of a process that we start.

    Args:
        changes: Variables to set; None takes one away.
    """
    merged: dict[str, str | None] = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _value(variable: Variable) -> str | None:
    """Return a variable's value without the space around it; empty counts as not set, as in a compose file."""
    return os.environ.get(variable.name, "").strip() or None


def _number(variable: Variable, smallest: int, largest: int) -> int:
    text = _value(variable) or variable.default
    found = _whole(text, largest)
    if found is None or found < smallest:
        raise SettingsError(f"{variable.name}={text[:20]!r} is not accepted; expected {variable.accepted}")
    return found


def _whole(text: str, largest: int) -> int | None:
    """Return a whole number from 0 to ``largest``; None where the text is none."""
    # The length first: Python refuses to read a number of thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest))) or int(text) > largest:
        return None
    return int(text)
