"""Small files in data/upkeep/ in which upkeep remembers what it did and told."""

from __future__ import annotations

from typing import Any

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import read_json, write_json
from runtime.settings import Home


def load_note(home: Home, name: str) -> Any:
    """Return what was kept under this name, None where nothing was, or what is no JSON."""
    path = home.upkeep / f"{name}.json"
    if not path.exists():
        return None
    try:
        return read_json(path)
    except UserMistake:
        return None


def save_note(home: Home, name: str, value: Any) -> None:
    """Keep a JSON value under this name; OperatorNeeded, OSError.

    Nothing is made in a home whose data are not there: its disk may have gone.
    """
    if not home.data.is_dir():
        raise OperatorNeeded(f"There is no folder {home.data}.", advice="Is its disk mounted?")
    home.upkeep.mkdir(exist_ok=True)
    write_json(home.upkeep / f"{name}.json", value)
