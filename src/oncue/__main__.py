"""``python -m oncue``: the same as the program ``oncue``."""

from oncue.cli import main

main()
