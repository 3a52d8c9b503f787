"""What tells the code of one worker from that of another."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oncue.sdk import registry
from oncue.worker import fingerprint, libraries

TASKS = "from oncue import task\n\nimport {package}.helping\n\n\n@task(id='{package}')\ndef t() -> None: ...\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to import from, whose modules are forgotten again."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    with registry.isolated():
        yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def deployed(folder: Path, package: str, helping: str) -> str:
    """Write a package, and return the fingerprint of the code with it."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("")
    (folder / package / "helping.py").write_text(helping)
    (folder / package / "tasks.py").write_text(TASKS.format(package=package))
    importlib.invalidate_caches()
    importlib.import_module(f"{package}.tasks")
    return fingerprint.of_code(registry.all_tasks())


def forget(folder: Path, package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    for file in (folder / package).iterdir():
        if file.is_file():
            file.unlink()
    (folder / package).rename(folder / f"{package}-before")


@pytest.mark.parametrize("is_installed", [False, True])
def test_other_code_beside_the_tasks_has_another_one(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_installed: bool,
) -> None:
    if is_installed:
        monkeypatch.setattr(libraries, "_FOLDERS", (*libraries._FOLDERS, str(folder)))
    first = deployed(folder, "fingered", "ONE = 1")
    assert first == fingerprint.of_code(registry.all_tasks())
    forget(folder, "fingered")
    with registry.isolated():
        second = deployed(folder, "fingered", "ONE = 2")

    assert first != second


def test_folder_that_only_begins_alike_is_no_library() -> None:
    (own,) = [each for each in libraries._FOLDERS if each.rstrip("/").endswith("oncue")]

    assert libraries.is_library(f"{own}worker/runs.py")
    assert not libraries.is_library(f"{own.rstrip('/')}_app/tasks.py")
