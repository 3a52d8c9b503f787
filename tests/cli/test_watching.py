"""What counts as a change of the code, and which code ``dev`` finds."""

import asyncio
from pathlib import Path

import pytest

from oncue.cli import targets
from oncue.cli.failures import CommandFailed
from oncue.cli.watching import Watcher, root_of


async def _changed(watcher: Watcher) -> list[str]:
    async with asyncio.timeout(20):
        return await watcher.changed()


async def test_change_addition_and_removal_are_all_seen(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    changed, removed, added = tmp_path / "a.py", tmp_path / "package" / "b.py", tmp_path / "package" / "c.py"
    changed.write_text("1")
    removed.write_text("1")
    watcher = Watcher(tmp_path)

    changed.write_text("12")
    removed.unlink()
    added.write_text("1")

    assert await _changed(watcher) == ["a.py", "package/b.py", "package/c.py"]


async def test_what_is_not_the_projects_code_changes_nothing(tmp_path: Path) -> None:
    for folder in (".git", "env", "__pycache__", "node_modules"):
        (tmp_path / folder).mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    watcher = Watcher(tmp_path)

    for folder in (".git", "env", "__pycache__", "node_modules"):
        (tmp_path / folder / "new.py").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "tasks.py").touch()

    assert await _changed(watcher) == ["tasks.py"]


def test_whole_project_of_a_package_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "app" / "jobs"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)

    assert root_of("src/app/jobs/tasks.py") == tmp_path / "src"
    assert root_of("src/app") == tmp_path / "src"
    assert root_of("app.tasks") == tmp_path


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["tasks.py", "shop/tasks.py"], "tasks.py"),
        (["tasks/__init__.py"], "tasks"),
        (["shop/tasks.py", ".venv/tasks.py"], "shop/tasks.py"),
        (["src/shop/tasks.py"], "src/shop/tasks.py"),
        (["main.py", "jobs.py"], "jobs.py"),
    ],
)
def test_tasks_are_found_where_projects_keep_them(tmp_path: Path, files: list[str], expected: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("from oncue import task\n@task\n" if name == "jobs.py" else "")

    assert targets.find(tmp_path) == expected


def test_guess_between_several_is_left_to_the_user(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("from oncue import task\n@task\n")

    with pytest.raises(CommandFailed, match=r"found a\.py, b\.py; say which, for instance `oncue dev a\.py`"):
        targets.find(tmp_path)
