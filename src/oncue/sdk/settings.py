"""Settings: which server is called, and with which key.

The only reader of environment variables on the user's side. They are read when a call is made, not at import, so that
a program may set them first. A worker gives its own through ``configure``.
"""

import os
from typing import Final, NamedTuple

from oncue.protocol import limits
from oncue.protocol.errors import SettingsError

SECRET_KEY: Final = "TRIGGER_SECRET_KEY"  # noqa: S105 - the variable's name
API_URL: Final = "TRIGGER_API_URL"
EVICT_ALWAYS: Final = "ONCUE_EVICT_ALWAYS"
OFFLOAD_BYTES: Final = "ONCUE_OFFLOAD_BYTES"
MAX_BATCH_ITEMS: Final = "ONCUE_MAX_BATCH_ITEMS"
DEFAULT_API_URL: Final = "http://localhost:3030"

_configured: dict[str, str] = {}


class Settings(NamedTuple):
    """Where calls go."""

    api_url: str
    """Without a slash at the end."""
    secret_key: str

    def __repr__(self) -> str:
        return f"Settings(api_url={self.api_url!r}, secret_key=...)"


def configure(*, secret_key: str | None = None, api_url: str | None = None) -> None:
    """Set the key and the server's address for this process, in place of the environment's.

    Args:
        secret_key: Used instead of ``TRIGGER_SECRET_KEY``; None leaves it as it is.
        api_url: Used instead of ``TRIGGER_API_URL``; None leaves it as it is.

    Raises:
        SettingsError: The address is not an HTTP address.

    Example::

        oncue.configure(secret_key=vault["oncue"], api_url="https://tasks.example.com")
    """
    if api_url is not None:
        _configured[API_URL] = _address(api_url, "api_url")
    if secret_key is not None:
        _configured[SECRET_KEY] = secret_key


def reset() -> None:
    """Forget what was configured; the environment counts again."""
    _configured.clear()


def current() -> Settings:
    """Return where a call goes that is made now.

    Raises:
        SettingsError: There is no key, or the address is not an HTTP address; says what to set.
    """
    # One space around a pasted key is a common slip, and no key has spaces.
    key = (_configured.get(SECRET_KEY) or os.environ.get(SECRET_KEY) or "").strip()
    if not key:
        raise SettingsError(
            f"{SECRET_KEY} is not set; set it to a secret key of your environment, for instance tr_dev_sk_..., "
            "which `oncue dev` prints and `oncue keys create` makes, or call oncue.configure(secret_key=...)"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{SECRET_KEY} holds a character that no key has; copy it again, see `oncue keys create`")
    url = _configured.get(API_URL) or _address(os.environ.get(API_URL) or DEFAULT_API_URL, API_URL)
    return Settings(url, key)


def evicts_always() -> bool:
    """Whether a worker started now unloads runs at every wait, which is how to test that tasks take it.

    Raises:
        SettingsError: The variable is neither 0 nor 1.
    """
    text = os.environ.get(EVICT_ALWAYS, "").strip() or "0"
    if text not in ("0", "1"):
        raise SettingsError(f"{EVICT_ALWAYS}={text[:20]!r} is not accepted; expected 1, or 0 for what is usual")
    return text == "1"


def offload_bytes() -> int:
    """Return the size above which a payload or an output goes to the object store by itself.

    Raises:
        SettingsError: The variable is no such size.
    """
    return _number(OFFLOAD_BYTES, limits.OFFLOAD_BYTES, 1_024, 1_000_000_000)


def max_batch_items() -> int:
    """Return how many items a batch may have that is not a stream; the server has the last word.

    Raises:
        SettingsError: The variable is no such number.
    """
    return _number(MAX_BATCH_ITEMS, limits.MAX_BATCH_ITEMS, 1, 100_000)


def _number(name: str, default: int, smallest: int, largest: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    is_whole = text.isascii() and text.isdigit() and len(text) <= len(str(largest))
    if not is_whole or not smallest <= int(text) <= largest:
        raise SettingsError(
            f"{name}={text[:20]!r} is not accepted; expected a whole number, {smallest:,} to {largest:,}"
        )
    return int(text)


def _address(text: str, name: str) -> str:
    address = text.strip().rstrip("/")
    scheme, separator, rest = address.partition("://")
    if scheme.lower() not in ("http", "https") or not separator or not rest:
        raise SettingsError(f"{name}={text!r} is not an HTTP address; expected one such as {DEFAULT_API_URL}")
    return address
