"""What a model's golden vectors have to be: made once for each make, on the processor and in full precision."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from search.catalogue import Catalogue, Loader, Make, Vectors
from search.embedders.golden import golden_path, golden_vectors, load_golden, save_golden

FOLDER = "golden"
log = logging.getLogger(__name__)


def load_references(
    folder: Path, models: Catalogue, makes: Mapping[str, Make], load: Loader
) -> dict[str, Mapping[str, Vectors]]:
    """Return the golden vectors of these makes by model; those that are not in the folder are made by `load`."""
    found: dict[str, Mapping[str, Vectors]] = {}
    for name, make in makes.items():
        if not golden_path(folder / FOLDER, make).exists():
            log.info("Making the golden vectors of %s.", name)
            save_golden(folder / FOLDER, make, golden_vectors(load(name), models[name].has_text))
        found[name] = load_golden(folder / FOLDER, make)
    return found
