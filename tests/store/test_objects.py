"""Objects are kept alike in a folder and in a cloud's store; the cloud is an S3 server in a process of its own."""

import datetime
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from oncue.store.errors import ObjectsMisconfigured, ObjectsUnavailable
from oncue.store.objects import Bucket, Folder, StoredObject, open_objects
from tests.fixtures.s3 import S3

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def cloud(s3: S3, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bucket:
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    return open_objects(f"{s3.address}/{request.node.name}")


@pytest.fixture(params=["folder", "cloud"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    if request.param == "cloud":
        yield request.getfixturevalue("cloud")
    else:
        yield open_objects(str(tmp_path / "objects"))


async def whole(found: StoredObject | None) -> tuple[bytes, str]:
    assert found is not None
    content = b"".join([bytes(chunk) async for chunk in found.chunks])
    assert len(content) == found.size
    return content, found.content_type


async def test_object_is_read_back_with_its_type(objects: Bucket) -> None:
    content = os.urandom(3_000_000)
    await objects.put("2030-01-31/1/a/document.json", content, "application/super+json")

    assert await whole(await objects.read("2030-01-31/1/a/document.json")) == (content, "application/super+json")
    assert await objects.size("2030-01-31/1/a/document.json") == len(content)


async def test_object_stored_again_replaces_the_first(objects: Bucket) -> None:
    await objects.put("day/name", b"first and long", "text/plain")
    await objects.put("day/name", b"second", "application/json")

    assert await whole(await objects.read("day/name")) == (b"second", "application/json")


async def test_object_that_is_not_there_is_none(objects: Bucket) -> None:
    assert await objects.read("day/nothing") is None
    assert await objects.size("day/nothing") is None


async def test_copy_has_content_and_type(objects: Bucket) -> None:
    await objects.put("old/name", b"content", "application/super+json")
    await objects.copy("old/name", "new/name")

    assert await whole(await objects.read("new/name")) == (b"content", "application/super+json")


async def test_what_is_below_a_prefix_goes_at_once(objects: Bucket) -> None:
    for key in ("2030-01-30/1/a", "2030-01-31/1/a", "2030-01-31/2/b/c"):
        await objects.put(key, b"x", "text/plain")

    assert {"2030-01-30", "2030-01-31"} <= set(await objects.below(""))
    assert await objects.delete_below("2030-01-31") == 2
    assert await objects.size("2030-01-31/2/b/c") is None
    assert await objects.size("2030-01-30/1/a") == 1
    assert "2030-01-31" not in await objects.below("")


async def test_cloud_signs_addresses_that_need_no_credentials(cloud: Bucket) -> None:
    put = await cloud.sign("PUT", "day/signed", HOUR)
    assert put is not None
    # Official clients send this header along; what is signed must not forbid it.
    headers = {"Content-Type": "application/json", "x-trigger-request-idempotency-key": "1"}
    async with aiohttp.ClientSession() as session:
        async with session.put(URL(put, encoded=True), data=b"[1]", headers=headers) as answer:
            assert answer.status == 200
        get = await cloud.sign("GET", "day/signed", HOUR)
        assert get is not None
        async with session.get(URL(get, encoded=True)) as answer:
            assert (await answer.read(), answer.headers["content-type"]) == (b"[1]", "application/json")
    assert await whole(await cloud.read("day/signed")) == (b"[1]", "application/json")


async def test_stream_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    await folder.put("day/name", b"before", "text/plain")

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"):
        await folder.receive("day/name", broken(), "application/json")
    assert await whole(await folder.read("day/name")) == (b"before", "text/plain")
    assert list((tmp_path / "~incoming").iterdir()) == []


async def test_store_that_is_away_says_what_to_look_at(s3_to_come: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_to_come.variables.items():
        monkeypatch.setenv(name, value)
    away = open_objects(s3_to_come.address)

    with pytest.raises(
        ObjectsUnavailable, match=r"could not look up day/name \(GenericError\); the server's log says why"
    ):
        await away.size("day/name")
    with pytest.raises(ObjectsUnavailable, match="could not store day/name"):
        await away.put("day/name", b"x", "text/plain")


async def test_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "objects")
    shutil.rmtree(tmp_path / "objects")
    (tmp_path / "objects").write_text("a file where the folder should be")

    with pytest.raises(ObjectsUnavailable, match="could not store day/name"):
        await folder.put("day/name", b"x", "text/plain")


async def test_what_a_dead_server_left_half_written_is_swept(tmp_path: Path) -> None:
    await Folder(tmp_path).put("day/name", b"x", "text/plain")
    left, new = tmp_path / "~incoming" / "left", tmp_path / "~incoming" / "new"
    for path in (left, new):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))

    Folder(tmp_path)

    assert [left.exists(), new.exists()] == [False, True]


def test_address_that_names_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ObjectsMisconfigured, match="'ftp' is no kind of object store; expected a folder's path"):
        open_objects("ftp://somewhere")
    with pytest.raises(ObjectsMisconfigured, match="a folder of another machine"):
        open_objects("file://host/folder")
    with pytest.raises(ObjectsMisconfigured, match="cannot be opened"):
        open_objects("s3://")
    with pytest.raises(ObjectsMisconfigured, match="cannot be made"):
        open_objects(f"file://{tmp_path}/file/below")


async def test_folder_is_named_by_path_or_by_address(tmp_path: Path) -> None:
    await open_objects(str(tmp_path / "a b")).put("key", b"1", "text/plain")

    assert await whole(await open_objects(f"file://{tmp_path}/a%20b").read("key")) == (b"1", "text/plain")


def test_other_clouds_are_opened_by_their_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ObjectsMisconfigured, match="see its address, without credentials"):
        open_objects("az://container/prefix")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")

    assert not isinstance(open_objects("az://container/prefix"), Folder)
    assert not isinstance(open_objects("gs://bucket/prefix"), Folder)
