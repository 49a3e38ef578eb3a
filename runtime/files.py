"""Small files that are whole or not there: written aside, synced, renamed."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from runtime.errors import OperatorNeeded, UserMistake


def write_whole(path: Path, text: str) -> None:
    """Write the text so that a reader, also after a power cut, sees the old file or the new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only their owner may read; these are for everybody on the machine.
            Path(aside).chmod(0o644)
            Path(aside).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(aside).unlink()
            raise
    except OSError as error:
        raise OperatorNeeded(
            f"{path} cannot be written ({error.strerror}).",
            advice="Free some space or make the folder writable, then start again.",
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write the value as readable JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return what the JSON file holds; UserMistake where it cannot be read or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserMistake(
            f"{path} is not valid JSON ({error}).",
            advice="Mend the file, or delete it: it is then written anew.",
        ) from error
    except OSError as error:
        raise UserMistake(f"{path} cannot be read ({error.strerror}).") from error
