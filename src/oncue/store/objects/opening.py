"""Opening: from an address to the store that it names."""

import datetime
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

from obstore.exceptions import BaseError
from obstore.store import from_url

from oncue.store.errors import ObjectsMisconfigured
from oncue.store.objects.bucket import Bucket
from oncue.store.objects.folder import Folder

Objects: TypeAlias = Bucket
"""Where objects are kept."""

CLOUDS: Final = ("s3", "gs", "az", "azure", "abfs", "abfss")
"""Schemes of addresses that name a cloud's store."""

_PATIENCE: Final = datetime.timedelta(seconds=10)
"""For all attempts of one call: below what a client waits for an answer."""


def open_objects(address: str) -> Bucket:
    """Return the store that an address names; nothing is sent yet.

    Args:
        address: ``s3://bucket/prefix``, ``gs://...``, ``az://...``, ``file:///folder`` or a folder's path.

    Raises:
        ObjectsMisconfigured: It names none, or one without what it needs to be reached.
    """
    scheme, separator, _ = address.partition("://")
    if not separator:
        return Folder(Path(address))
    if scheme == "file":
        where = urlsplit(address)
        if where.netloc not in ("", "localhost"):
            raise ObjectsMisconfigured(
                f"file://{where.netloc}{where.path} names a folder of another machine; expected file:///folder, or the "
                "path of a folder"
            )
        return Folder(Path(url2pathname(where.path)))
    if scheme not in CLOUDS:
        raise ObjectsMisconfigured(
            f"{scheme[:20]!r} is no kind of object store; expected a folder's path, or an address that begins with "
            f"{', '.join(f'{each}://' for each in CLOUDS)}"
        )
    try:
        store = from_url(
            address,
            # An operator who writes http:// means it.
            client_options={"connect_timeout": datetime.timedelta(seconds=5), "allow_http": True},
            retry_config={"max_retries": 3, "retry_timeout": _PATIENCE},
        )
    except (BaseError, ValueError) as error:
        raise ObjectsMisconfigured(
            f"the object store {scheme}://... cannot be opened ({type(error).__name__}); see its address, without "
            "credentials, and the environment variables of its cloud"
        ) from error
    return Bucket(store)
