"""The example of the README, run as the README says: ``oncue dev tasks.py`` and ``python app.py``."""

import re
import subprocess
import sys

from tests.fixtures.commands import PATIENCE_S, Commands
from tests.house.pages import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```python title="([\w.]+)"\n(.*?)^```$', README, re.MULTILINE | re.DOTALL))
LINES = 20


def test_readme_example_has_at_most_twenty_lines() -> None:
    lines = [line for text in FILES.values() for line in text.splitlines() if line.strip()]

    assert set(FILES) == {"tasks.py", "app.py"}
    assert len(lines) <= LINES


def test_readme_example_runs_and_prints_what_it_says(oncue: Commands) -> None:
    for name, text in FILES.items():
        (oncue.folder / name).write_text(text, encoding="utf-8")

    said = oncue.start("dev", "tasks.py", "--port", "0").says("worker ready")
    told = dict(re.findall(r"(TRIGGER_\w+)=(\S+)", said))
    ran = subprocess.run(
        [sys.executable, "app.py"], cwd=oncue.folder, env={**oncue.environment, **told}, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    promised = re.search(r"`python app\.py`:\n\n    (.+)\n", README)
    assert promised is not None
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == promised[1]
