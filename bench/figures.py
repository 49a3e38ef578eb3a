"""What a benchmark found, as lines of one table that all of them share."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

MET = {True: "yes", False: "[red]no[/red]", None: ""}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what was measured, how much it is, and what it is held against.

    `ratio` is this program's figure to the other's; `goal` and `is_met` are empty and None where there is none.
    """

    measure: str
    value: str
    beside: str = ""
    ratio: float | None = None
    goal: str = ""
    is_met: bool | None = None


def write(figures: Iterable[Figure], path: Path) -> None:
    """Keep the figures for a table of several benchmarks."""
    path.write_text(json.dumps([asdict(figure) for figure in figures]), encoding="utf-8")


def read(path: Path) -> list[Figure]:
    """Return the figures that were kept."""
    return [Figure(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def table(title: str, figures: Iterable[Figure]) -> Table:
    """Return the figures as a table."""
    made = Table(title=title, title_justify="left")
    for name in ("measure", "this program", "beside", "ratio", "goal", "met"):
        made.add_column(name, justify="right" if name == "ratio" else "left")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.3g}"
        made.add_row(figure.measure, figure.value, figure.beside, ratio, figure.goal, MET[figure.is_met])
    return made


def machine() -> str:
    """Return what the figures were measured on."""
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    return (
        f"{cpu_name()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, load {load}"
    )


def cpu_name() -> str:
    """Return the processor's name, as well as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
