"""The folder of an exported model, and the note in it that says what it was made from.

    <models_folder>/clip_vitb32/onnx/picture.onnx, text.onnx, vocabulary.txt.gz, made_from.json

The note is written last: a folder without it is no export.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import read_json, write_json
from search.catalogue import Model
from search.embedders.hashes import hash_of
from search.embedders.weights import Places, find_weights

FOLDER, NOTE = "onnx", "made_from.json"
PICTURE, TEXT, VOCABULARY = "picture.onnx", "text.onnx", "vocabulary.txt.gz"
INPUT = "given"
EXPORT = "python run.py models --export"


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """What an export was made from: the architecture, its checkpoint's SHA-256, and the SHA-256 of what was written.

    `text_length` is how many tokens the text side reads, 0 where there is none.
    """

    architecture: str
    weights: str
    text_length: int
    files: dict[str, str]


def export_folder(model: Model, places: Places) -> Path:
    """Return where the model's export lies, or is to lie."""
    return places.models_folder / model.name / FOLDER


def save_note(folder: Path, made: MadeFrom) -> None:
    """Write the note; the export is whole from then on."""
    write_json(folder / NOTE, asdict(made))


def find_export(model: Model, places: Places) -> MadeFrom | None:
    """Return what the model's export was made from, None where there is none; OperatorNeeded where it is damaged."""
    path = export_folder(model, places) / NOTE
    if not path.is_file():
        return None
    try:
        return MadeFrom(**read_json(path))
    except (TypeError, UserMistake) as error:
        raise OperatorNeeded(f"{path} is damaged ({error}).", advice=f"Run `{EXPORT}` anew.") from error


def get_export(model: Model, places: Places) -> MadeFrom:
    """Return what the model's export was made from; OperatorNeeded where it is missing, changed or of other weights."""
    made, folder = find_export(model, places), export_folder(model, places)
    if made is None:
        raise OperatorNeeded(
            f"{model.name} has not been exported to {folder}.",
            advice=f"Run `{EXPORT}` on a machine with torch and the weights, and copy the folder here.",
        )
    for name, sha256 in made.files.items():
        if not (folder / name).is_file() or hash_of(folder / name, places.models_folder) != sha256:
            raise OperatorNeeded(
                f"{folder / name} is missing, or not what was exported.",
                advice=f"Copy the folder anew, or run `{EXPORT}`.",
            )
    original = find_weights(model, places)
    if made.architecture != model.architecture or (original and original.sha256 != made.weights):
        raise OperatorNeeded(
            f"{folder} was exported from other weights than those of {model.name} on this machine.",
            advice=f"Run `{EXPORT}` anew.",
        )
    return made
