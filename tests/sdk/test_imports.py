"""``import oncue`` is quick, and its names are all there."""

import subprocess
import sys

import pytest

import oncue

HEAVY = ("msgspec", "aiohttp", "urllib3", "asyncio", "uuid_utils")


def _loaded_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_import_loads_nothing_else() -> None:
    loaded = _loaded_after("import oncue")

    assert {name for name in loaded if name.startswith("oncue")} == {"oncue"}
    assert loaded.isdisjoint(HEAVY)


def test_defining_tasks_loads_no_http_library() -> None:
    code = "from oncue import task, tasks, queue, item\n@task(queue=queue('q'))\ndef f(payload: int) -> int: return 1"

    assert _loaded_after(code).isdisjoint(HEAVY)


def test_both_senders_load_only_their_own_library() -> None:
    call = "oncue.configure(secret_key='k', api_url='http://127.0.0.1:1')\nfrom oncue.sdk import connections\n"

    loaded = _loaded_after(f"import oncue\n{call}connections._thread_pool()")

    assert "urllib3" in loaded
    assert "aiohttp" not in loaded


@pytest.mark.parametrize("name", oncue.__all__)
def test_public_name_is_there(name: str) -> None:
    assert getattr(oncue, name) is not None
    assert name in dir(oncue)


def test_every_lazy_name_is_public() -> None:
    assert set(oncue.__all__) == {*oncue._HOMES, "__version__"}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = oncue.nonsense
