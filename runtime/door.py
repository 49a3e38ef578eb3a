"""A sub-command as run.py offers it whose module is loaded only when it is called for.

The libraries that it needs may be many and large; a crawl neither loads them nor needs them installed.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from runtime.errors import UserMistake
from runtime.settings import Settings

PROGRAM = Path(__file__).resolve().parents[1] / "run.py"
"""run.py itself: a sub-command in a process of its own is started by it."""
OURS = re.compile(r"(?:crawler|imaging|models|publishing|runtime|sandbox|search|upkeep|web)(?:\..*)?")
Run = Callable[[Any, argparse.Namespace, Settings, Console], int]


@dataclass(frozen=True, slots=True)
class Door:
    """What a sub-command does, an example, its module, its arguments, and how it is called with that module.

    `part` is the make target that installs its libraries, also in the name of the part's requirements file.
    """

    help: str
    example: str
    part: str
    module: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Run

    def enter(self, name: str, given: argparse.Namespace, settings: Settings, console: Console) -> int:
        """Run the sub-command and return its exit status; UserMistake where its libraries are not installed."""
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name is None or OURS.fullmatch(error.name):
                raise
            raise UserMistake(
                f"`{name}` needs libraries that are not installed ({error.name}).",
                advice=f"Install them: `make {self.part}`, or `pip install -r requirements-{self.part}.txt`.",
            ) from error
        return self.run(module, given, settings, console)


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""
