"""Libraries: which files are not the user's own code."""

import os
import sysconfig
from pathlib import Path
from typing import Final

_FOLDERS: Final = tuple(
    sorted({
        str(folder) + os.sep
        for folder in (
            *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
            Path(__file__).parents[1],
        )
    })
)  # fmt: skip


def is_library(file: str) -> bool:
    """Return whether a file is Python's, an installed package's or oncue's."""
    return file.startswith(_FOLDERS)
