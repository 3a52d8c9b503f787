"""A worker finds the tasks it was pointed at, or says in one line what is wrong."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oncue import SettingsError
from oncue.worker.discovery import declarations, discover

TASK = "from oncue import task\n\n\n@task\nasync def {name}() -> None: ...\n"


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_module_name_is_imported_from_here() -> None:
    write("my_app/__init__.py", "")
    write("my_app/jobs.py", TASK.format(name="one"))

    assert [task.id for task in discover(["my_app.jobs"])] == ["one"]


def test_file_sees_the_modules_beside_it() -> None:
    write("loose/neighbour_of_jobs.py", "NAME = 'from-neighbour'\n")
    write(
        "loose/jobs_with_neighbour.py",
        "from neighbour_of_jobs import NAME\nfrom oncue import task\n@task(id=NAME)\ndef f() -> None: ...\n",
    )

    assert [task.id for task in discover(["loose/jobs_with_neighbour.py"])] == ["from-neighbour"]


def test_file_in_a_package_may_import_relatively() -> None:
    write("pack/__init__.py", "")
    write("pack/names.py", "NAME = 'relative'\n")
    write("pack/sub/__init__.py", "")
    write(
        "pack/sub/jobs.py", "from ..names import NAME\nfrom oncue import task\n@task(id=NAME)\ndef f() -> None: ...\n"
    )

    assert [task.id for task in discover(["pack/sub/jobs.py"])] == ["relative"]


def test_folder_is_searched_below_without_hidden_parts() -> None:
    write("tree/first_jobs.py", TASK.format(name="first"))
    write("tree/below/second_jobs.py", TASK.format(name="second"))
    write("tree/below/__main__.py", "raise SystemExit('ran the program')\n")
    write("tree/.hidden/third_jobs.py", TASK.format(name="third"))
    write("tree/venv/pyvenv.cfg", "")
    write("tree/venv/fourth_jobs.py", TASK.format(name="fourth"))

    assert sorted(task.id for task in discover(["tree"])) == ["first", "second"]


def test_several_targets_add_up() -> None:
    write("a_jobs.py", TASK.format(name="a"))
    write("b_jobs.py", TASK.format(name="b"))

    assert [task.id for task in discover(["a_jobs.py", "b_jobs"])] == ["a", "b"]


def test_failing_import_names_file_and_line() -> None:
    write("broken_jobs.py", "import os\n\nfrom nowhere_at_all import something\n")

    with pytest.raises(SettingsError) as caught:
        discover(["broken_jobs.py"])

    said = str(caught.value)
    assert said == (
        "cannot import broken_jobs.py: ModuleNotFoundError: No module named 'nowhere_at_all' (broken_jobs.py:3)"
    )


def test_error_in_an_imported_module_names_its_line() -> None:
    write("outer_jobs.py", "import inner_settings\n")
    write("inner_settings.py", "\n\nraise RuntimeError('no\\nway')\n")

    with pytest.raises(SettingsError, match=r"RuntimeError: no way \(inner_settings.py:3\)"):
        discover(["outer_jobs"])


def test_syntax_error_names_file_and_line() -> None:
    write("typo_jobs.py", "x = 1\ndef f(:\n")

    with pytest.raises(SettingsError, match=r"cannot import typo_jobs.py: SyntaxError: .* \(typo_jobs.py:2\)"):
        discover(["typo_jobs.py"])


def test_exit_at_import_does_not_end_the_worker() -> None:
    write("leaving_jobs.py", "import sys\nsys.exit(3)\n")

    with pytest.raises(SettingsError, match=r"SystemExit: 3 \(leaving_jobs.py:2\)"):
        discover(["leaving_jobs.py"])


@pytest.mark.parametrize("target", ["missing.py", "missing_app.jobs", "missing/jobs.py"])
def test_target_that_does_not_exist_is_named(target: str) -> None:
    with pytest.raises(SettingsError, match=r"missing.*expected a"):
        discover([target])


def test_no_task_says_how_to_declare_one() -> None:
    write("empty_jobs.py", "")

    with pytest.raises(SettingsError, match=r"no task found in empty_jobs.py; .*@task"):
        discover(["empty_jobs.py"])


def test_file_named_like_a_library_is_refused() -> None:
    write("json.py", TASK.format(name="hidden"))

    with pytest.raises(SettingsError, match="give the file another name"):
        discover(["json.py"])


def test_duplicate_id_names_both_places() -> None:
    write("left_jobs.py", TASK.format(name="same"))
    write("right_jobs.py", "from oncue import task\n\n\n@task(id='same')\nasync def other() -> None: ...\n")

    with pytest.raises(SettingsError, match=r"left_jobs.py.*right_jobs.py"):
        discover(["left_jobs.py", "right_jobs.py"])


def test_annotation_that_cannot_be_read_refuses_the_start() -> None:
    write("odd_jobs.py", "from oncue import task\n\n\n@task\ndef odd(payload: 'Nowhere') -> None: ...\n")

    with pytest.raises(SettingsError, match="task 'odd'"):
        declarations(discover(["odd_jobs.py"]))
