"""Client: commands that call a server say first whether one is there.

The SDK waits for a server that is away for a moment, as a backend wants it; a person at a terminal wants to hear at
once that there is none.
"""

import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from oncue.cli import local
from oncue.protocol.errors import ConnectionFailed

_CONNECT_SECONDS: Final = 3.0
_PORTS: Final = {"http": 80, "https": 443}


def prepare(folder: Path) -> None:
    """Decide which server is called and with which key.

    Raises:
        SettingsError: There is no key.
        ConnectionFailed: Nobody listens there.
    """
    url = local.use(folder)
    parts = urlsplit(url)
    place = (parts.hostname or "localhost", parts.port or _PORTS.get(parts.scheme, 80))
    try:
        socket.create_connection(place, timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise ConnectionFailed(
            f"no server answers at {url} ({error.strerror or error}); start one with `oncue dev`, or set "
            "TRIGGER_API_URL to the address of one that runs"
        ) from error
