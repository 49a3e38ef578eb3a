"""Where a model's weights lie: in a folder of ours, or in the cache of the Hugging Face hub.

    <models_folder>/clip_vitb32/open_clip_model.safetensors   (or any one .safetensors, .bin or .pt)
    <models_folder>/dinov2_base/config.json, model.safetensors

The folder wins. Nothing here uses the network but `fetch_weights`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import GatedRepoError

from runtime.errors import OperatorNeeded
from runtime.files import trouble_in_words
from search.catalogue import Model
from search.embedders.hashes import hash_of

FOLDER, CACHE = "folder", "hub cache"
FETCH = "python run.py models --fetch"
CHECKPOINTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "open_clip": (("open_clip_model.safetensors",), ("open_clip_pytorch_model.bin",)),
    "transformers": (("model.safetensors", "config.json"),),
}
"""For each family the sets of files that make a checkpoint, best first; the first file of a set is hashed."""
ANY_NAME = {"open_clip": (".safetensors", ".bin", ".pt"), "transformers": ()}
"""Endings by which a family's single file counts in our folder, whatever its name."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where models lie; without a hub folder the library's own cache is looked at."""

    models_folder: Path
    hub_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """A checkpoint on this machine: its file with the numbers, that file's SHA-256, and where it was found."""

    file: Path
    sha256: str
    origin: str


def find_weights(model: Model, places: Places) -> Weights | None:
    """Return the model's checkpoint, None where this machine has none; OperatorNeeded where it cannot be told."""
    for origin, file in ((FOLDER, _in_folder(model, places)), (CACHE, _in_cache(model, places))):
        if file is not None:
            return Weights(file, hash_of(file, places.models_folder), origin)
    return None


def get_weights(model: Model, places: Places) -> Weights:
    """Return the model's checkpoint; OperatorNeeded says where it was looked for and how to get it."""
    found = find_weights(model, places)
    if found is None:
        raise OperatorNeeded(
            f"The weights of {model.name} are neither in {places.models_folder / model.name} "
            f"nor in the hub cache as {model.hub}.",
            advice=f"`{FETCH}` downloads them (licence: {model.licence}); or put {_names(model)} "
            f"from {' or '.join(model.sources)} into that folder.",
        )
    return found


def fetch_weights(model: Model, places: Places) -> Weights:
    """Download the model's checkpoint into its folder; OperatorNeeded where that fails."""
    target = places.models_folder / model.name
    failure: Exception | None = None
    for names in CHECKPOINTS[model.family]:
        try:
            target.mkdir(parents=True, exist_ok=True)
            for name in reversed(names):
                huggingface_hub.hf_hub_download(model.hub, name, local_dir=target)
            return get_weights(model, places)
        except GatedRepoError as error:
            raise OperatorNeeded(
                f"{model.hub} is open only to those whom its owner has let in.",
                advice=f"Ask for it on {model.sources[0]}, log in with `hf auth login`, and start again; "
                f"or put {_names(model)} into {target}.",
            ) from error
        # The library lets errors of many kinds out: of the network, of the hub's answers, of the disk.
        except Exception as error:
            failure = failure or error
    raise OperatorNeeded(
        f"{model.hub} cannot be downloaded ({_first_line(failure)}).",
        advice=f"Is there a network? Otherwise put {_names(model)} from {' or '.join(model.sources)} into {target}.",
    ) from failure


def wrong_weights(model: Model, weights: Weights, why: object) -> OperatorNeeded:
    """Return the error for a checkpoint that is not what the model needs."""
    return OperatorNeeded(
        f"{weights.file} is no checkpoint of {model.name} ({model.architecture}): {_first_line(why)}.",
        advice=f"Put {_names(model)} of {model.hub} in its place, or delete it and run `{FETCH}`.",
    )


def _in_folder(model: Model, places: Places) -> Path | None:
    """Return the checkpoint's file in our folder; OperatorNeeded where several could be meant."""
    folder = places.models_folder / model.name
    for names in CHECKPOINTS[model.family]:
        if all((folder / name).is_file() for name in names):
            return folder / names[0]
    try:
        there = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise trouble_in_words(error, folder) from error
    found = [path for path in there if path.suffix in ANY_NAME[model.family] and path.is_file()]
    if len(found) > 1:
        raise OperatorNeeded(
            f"{folder} holds several checkpoints: {', '.join(path.name for path in found)}.",
            advice="Leave the one that is meant.",
        )
    return found[0] if found else None


def _in_cache(model: Model, places: Places) -> Path | None:
    """Return the checkpoint's file in the hub's cache, where all that belong to it are there."""
    folder = places.hub_folder
    if folder is not None and (folder / "hub").is_dir():
        folder = folder / "hub"  # HF_HOME was named, its cache lies below
    for names in CHECKPOINTS[model.family]:
        found = [huggingface_hub.try_to_load_from_cache(model.hub, name, cache_dir=folder) for name in names]
        if all(isinstance(path, str) for path in found):
            return Path(str(found[0]))
    return None


def _names(model: Model) -> str:
    return " and ".join(CHECKPOINTS[model.family][0])


def _first_line(told: object) -> str:
    """Return the beginning of an error for a sentence; libraries write pages."""
    line = next((line.strip() for line in str(told).splitlines() if line.strip()), type(told).__name__)
    return line[:200].rstrip(".: ")
