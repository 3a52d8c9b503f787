"""Missing: the mark of an argument that was not given, where None is a value of its own."""

import enum
from typing import Final, Literal, TypeAlias


class _Missing(enum.Enum):
    MISSING = "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing.MISSING
"""No payload was given; ``None`` is the JSON value null."""

Missing: TypeAlias = Literal[_Missing.MISSING]
