"""Local: what ``oncue dev`` leaves in its folder for the other commands beside it.

::

    .oncue/
      secret_key      0600; the dev environment's key, made once and kept
      api_url         where the server is, while it runs

So ``oncue trigger`` and ``oncue runs`` in a second terminal need no setting. The environment's variables win.
"""

import contextlib
import os
import re
import secrets
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from oncue.cli import settings
from oncue.protocol.errors import SettingsError

_KEY: Final = re.compile(r"tr_dev_sk_[A-Za-z0-9]{24}")
_ALPHABET: Final = string.ascii_letters + string.digits


def dev_key(folder: Path) -> str:
    """Return the folder's dev key; it is made on first use.

    Raises:
        SettingsError: The file holds something else, or the folder cannot be written to.
    """
    path = folder / "secret_key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")
        if path.exists():
            return _read_key(path)
        key = "tr_dev_sk_" + "".join(secrets.choice(_ALPHABET) for _ in range(24))
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(key + "\n")
    except OSError as error:
        raise SettingsError(f"{path} cannot be used ({error.strerror}); name another folder with --folder") from error
    return key


@contextlib.contextmanager
def announced(folder: Path, api_url: str) -> Iterator[None]:
    """Keep the server's address in the folder while the block runs."""
    path = folder / "api_url"
    path.write_text(api_url + "\n", encoding="ascii")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def use(folder: Path) -> str:
    """Make the SDK call the folder's dev server, unless the environment names another; return the address in use.

    Raises:
        SettingsError: Neither says which key to use.
    """
    import oncue
    from oncue.sdk.settings import current

    if not settings.has_secret_key() and (folder / "secret_key").exists():
        oncue.configure(secret_key=_read_key(folder / "secret_key"))
        with contextlib.suppress(OSError):
            if not settings.has_api_url():
                oncue.configure(api_url=(folder / "api_url").read_text(encoding="ascii").strip())
    return current().api_url


def _read_key(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); set TRIGGER_SECRET_KEY instead") from error
    if _KEY.fullmatch(key) is None:
        raise SettingsError(f"{path} holds no dev key; remove the file, and the next `oncue dev` makes one")
    return key
