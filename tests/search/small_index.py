"""`run.py index` with the table of the small embedders: python -m tests.search.small_index HOME."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from runtime.settings import load_settings
from search.index_commands import index
from tests.search.small import SMALL

if __name__ == "__main__":
    sys.exit(index(load_settings(Path(sys.argv[1]), {}), Console(), anew=False, models=SMALL))
