"""What a generation of indexes is said to hold, kept beside it as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import read_json, write_json
from search.index.library import REBUILD

FORMAT = 1
MANIFEST, IMAGE_INDEX, ROWS = "manifest.json", "image_index.json", "rows.npy"


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """One index: its kind (kinds.LADDER), the make of its vectors, and its file.

    `candidates` that are scored exactly afterwards had this recall@10 when there were `tested_rows` rows;
    `trained_rows` is how many rows there were when it was begun.
    """

    kind: str
    make: str
    dim: int
    rows: int
    size_bytes: int
    sha256: str
    recall: float
    candidates: int
    trained_rows: int
    tested_rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """All indexes of a generation by the names of their vector files; SHA-256 of its two lists of rows."""

    number: int
    rows: int
    files: Mapping[str, BuiltFile]
    image_index_sha256: str
    rows_sha256: str


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the folder; OperatorNeeded."""
    write_json(folder / MANIFEST, {"format": FORMAT, **asdict(manifest)})


def load_manifest(folder: Path) -> Manifest:
    """Return the folder's manifest; OperatorNeeded where there is none that this program understands."""
    path = folder / MANIFEST
    try:
        told = read_json(path)
        version = told.pop("format")
        if version == FORMAT:
            return Manifest(**{**told, "files": {name: BuiltFile(**built) for name, built in told["files"].items()}})
    except (UserMistake, TypeError, KeyError, AttributeError) as error:
        raise OperatorNeeded(f"{path} cannot be understood ({error}).", advice=REBUILD) from error
    raise OperatorNeeded(f"{path} is of format {version}, this program reads {FORMAT}.", advice=REBUILD)
