"""Many things through a model a few at a time, and its raw rows as unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from runtime.errors import OperatorNeeded
from search.catalogue import Model, Vectors

PART = 16  # what is prepared and on its way at once; more makes nothing faster on a processor
T = TypeVar("T")


def embed_in_parts(
    model: Model, things: Sequence[T], embed: Callable[[Sequence[T]], npt.NDArray[np.float32]]
) -> Vectors:
    """Return a unit vector for each thing; OperatorNeeded where the model gives rows of another length than told."""
    found = np.empty((len(things), model.dim), np.float32)
    for first in range(0, len(things), PART):
        rows = embed(things[first : first + PART])
        wanted = found[first : first + PART].shape
        if rows.shape != wanted:
            raise OperatorNeeded(
                f"{model.name} gave vectors of shape {rows.shape} where {wanted} was expected: "
                "its checkpoint is of another model.",
                advice=f"Put the weights of {model.hub} in its place.",
            )
        found[first : first + PART] = unit(rows)
    return found


def unit(rows: npt.NDArray[np.float32]) -> Vectors:
    """Return the rows at length one; a row of zeros, which has no direction, becomes NaN."""
    numbers = rows.astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths: Vectors = np.linalg.norm(numbers, axis=1, keepdims=True)
        return numbers / lengths
