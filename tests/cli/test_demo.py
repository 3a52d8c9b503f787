"""``oncue demo``: equal counts, and nothing left behind."""

import tomllib
from pathlib import Path

import pytest

from oncue.cli import census
from tests.fixtures.commands import REPOSITORY, Commands, until


@pytest.fixture
def temporary(oncue: Commands) -> Path:
    """The folder in which a demo makes its own."""
    folder = oncue.folder / "tmp"
    folder.mkdir()
    folder.chmod(0o755)
    oncue.environment["TMPDIR"] = str(folder)
    return folder


def test_both_counts_of_a_package_are_equal(oncue: Commands, temporary: Path) -> None:
    report = oncue.json("demo", "--package", "json", "--processes", "1")

    assert report["equal"] is True
    assert report["oncue"] == report["direct"]
    assert report["runs"] == report["oncue"]["files"] + 1 == len(census.files("json")) + 1
    assert report["oncue"]["functions"] > 20
    assert list(temporary.iterdir()) == []


def test_people_get_tables_and_the_next_step(oncue: Commands, temporary: Path) -> None:
    done = oncue("demo", "--package", "json")

    assert done.returncode == 0, done.stderr
    assert "py_scanstring" in done.stdout
    assert "✓ both counts are equal. Next: oncue dev with tasks of your own" in done.stdout


def test_settings_of_a_real_server_do_not_reach_it(oncue: Commands, temporary: Path) -> None:
    theirs = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "ONCUE_BOOTSTRAP_SECRET_KEY": "", "ONCUE_FOLDER": "theirs"}

    report = oncue.json("demo", "--package", "json", "--processes", "1", **theirs)

    assert report["equal"] is True
    assert not (oncue.folder / "theirs").exists()


def test_ctrl_c_leaves_nothing_behind(oncue: Commands, temporary: Path) -> None:
    demo = oncue.start("demo")
    until(lambda: len(demo.relatives()) >= 2, "server and worker")

    assert demo.stop() == 130

    assert demo.output == "stopped; nothing is left behind\n"
    assert demo.relatives() == []
    assert list(temporary.iterdir()) == []


def test_unknown_package_is_refused_before_anything_starts(oncue: Commands, temporary: Path) -> None:
    done = oncue("demo", "--package", "moon")

    assert done.stderr == "error: the standard library has no package 'moon'; try --package asyncio\n"


def test_wheel_carries_the_one_copy_of_the_example() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    ((source, target),) = included.items()

    assert REPOSITORY / source == census.file()
    assert Path("src") / target == Path(census.__file__).relative_to(REPOSITORY).parent / source
