"""Environments and secret keys: who may call, and where.

A key is stored as its SHA-256, so the database gives none away; it is shown once, when it is made.

Life of a run, this module's part::

    api/auth -> environments.authenticate -> KeyHolder -> Environment, to which every later query is scoped
"""

import datetime
import hashlib
import re
import secrets
import string
from typing import Final, Literal

import msgspec

from oncue.engine.rows import Environment
from oncue.protocol.errors import BadRequest, NotFound
from oncue.store import queries
from oncue.store.pool import Tx

PREFIXES: Final = {"dev": "dev", "prod": "prod"}
"""Slug of an environment to what its keys say. Source: wire contract, "Secret keys have the shape"."""

_SECRET: Final = re.compile(r"tr_(dev|stg|prod|preview)_sk_[A-Za-z0-9]{24}")
_ALPHABET: Final = string.ascii_letters + string.digits
_SECRET_CHARS: Final = 24
_HINT_CHARS: Final = 4
_PROJECT: Final = "default"


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made; the secret is not kept."""

    id: int
    environment: str
    name: str
    secret: str


class KeyRow(msgspec.Struct, frozen=True):
    """A stored key."""

    id: int
    environment: str
    name: str
    hint: str
    created_at: datetime.datetime
    revoked_at: datetime.datetime | None


class KeyHolder(msgspec.Struct, frozen=True):
    """A key in force, and the environment that it opens."""

    key_id: int
    id: int
    slug: str
    kind: Literal["DEVELOPMENT", "PRODUCTION"]

    @property
    def environment(self) -> Environment:
        """Where its bearer may act."""
        return Environment(self.id, self.slug, self.kind)


class KeyId(msgspec.Struct, frozen=True):
    """A key's id."""

    id: int


class Storage(msgspec.Struct, frozen=True):
    """Where the objects of an environment are."""

    env_id: int
    place: str
    """What their keys begin with; no other environment has it, in this database or another that shares the store."""
    secret: bytes
    """What their addresses are signed with, 32 bytes."""


class ProjectId(msgspec.Struct, frozen=True):
    """A project's id."""

    id: int


_sql = queries.load("environments")
_authenticate = _sql.maybe("authenticate", KeyHolder)
_in_force = _sql.maybe("in_force", KeyHolder)
_ensure_project = _sql.one("ensure_project", ProjectId)
_ensure_environments = _sql.none("ensure_environments")
_environments = _sql.many("environments", Environment)
_create_key = _sql.maybe("create_key", KeyId)
_list_keys = _sql.many("list_keys", KeyRow)
_revoke_key = _sql.maybe("revoke_key", KeyId)
_storages = _sql.many("storages", Storage)


def key_hash(secret: str) -> bytes:
    """Return what is stored of a secret key, 32 bytes.

    A fast hash is right here: the secret has 142 random bits, so there is nothing to guess.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def authenticate(tx: Tx, hash_: bytes) -> KeyHolder | None:
    """Return a key that is known and not revoked, with its environment."""
    return await _authenticate(tx, hash=hash_)


async def key_in_force(tx: Tx, key: int) -> KeyHolder | None:
    """Return a key by its id, with its environment; None where there is none, or it was revoked."""
    return await _in_force(tx, id=key)


async def ensure_default_project(tx: Tx) -> list[Environment]:
    """Make the project with its ``dev`` and ``prod`` environments unless they are there; return all environments."""
    project = await _ensure_project(tx, ref=_PROJECT, name=_PROJECT)
    kinds: list[Literal["DEVELOPMENT", "PRODUCTION"]] = ["DEVELOPMENT", "PRODUCTION"]
    await _ensure_environments(tx, project_id=project.id, slugs=list(PREFIXES), kinds=kinds)
    return await _environments(tx)


async def list_environments(tx: Tx) -> list[Environment]:
    """Return all environments, oldest first."""
    return await _environments(tx)


async def create_key(tx: Tx, environment: str, *, name: str, secret: str | None = None) -> NewKey:
    """Make a secret key.

    Args:
        environment: Slug of the environment it is for.
        name: What a person calls it.
        secret: Accept this very key; where it is known already nothing changes. None: draw one.

    Raises:
        BadRequest: The secret has another shape than ``tr_<env>_sk_<24 letters or digits>``.
        NotFound: There is no such environment.
    """
    if secret is not None and _SECRET.fullmatch(secret) is None:
        raise BadRequest("the secret key has the wrong shape; expected tr_<env>_sk_ and 24 letters or digits")
    if secret is None:
        drawn = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARS))
        secret = f"tr_{PREFIXES.get(environment, 'prod')}_sk_{drawn}"
    row = await _create_key(tx, environment=environment, name=name, hash=key_hash(secret), hint=secret[-_HINT_CHARS:])
    if row is None:
        raise NotFound(f"no environment {environment!r}; there are {', '.join(PREFIXES)}")
    return NewKey(row.id, environment, name, secret)


async def list_keys(tx: Tx) -> list[KeyRow]:
    """Return all keys, newest first, revoked ones included."""
    return await _list_keys(tx)


async def revoke_key(tx: Tx, key: int) -> bool:
    """Revoke a key; servers stop accepting it within seconds. Returns whether there was such a key in force."""
    return await _revoke_key(tx, id=key) is not None


async def storages(tx: Tx) -> list[Storage]:
    """Return where the objects of each environment are, and what their addresses are signed with."""
    return await _storages(tx)
