"""A model in torch: pictures and texts to unit vectors, on any device and in the precision of its weights.

What differs between the libraries is in a file for each family; both give a `Net`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from runtime.errors import UserMistake
from search.catalogue import Make, Model, Vectors
from search.embedders.device import TORCH
from search.embedders.parts import embed_in_parts
from search.embedders.preprocess import prepare, preprocessing_name
from search.embedders.torch_device import NUMBERS


class Net(Protocol):
    """A network with its weights, as one library makes it."""

    module: torch.nn.Module

    def pictures(self, prepared: torch.Tensor) -> torch.Tensor:
        """Return a row for each prepared picture."""

    def texts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return a row for each text's tokens; only where the model has a text side."""

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the texts' tokens, int64; only where the model has a text side."""


class TorchModel:
    """A model on one device; its weights are brought to `precision` once, never by autocast.

    Measured: autocast took ten times as long as half weights on open_clip's attention.
    """

    def __init__(self, model: Model, net: Net, weights: str, device: str, precision: str) -> None:
        self._model, self._net = model, net
        self._device, self._dtype = torch.device(device), NUMBERS[precision]
        net.module.to(self._device, self._dtype).eval()
        self.make = Make(model.name, weights, preprocessing_name(model.preprocessing), TORCH)

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Return a unit vector for each picture (RGB), in their order."""
        return embed_in_parts(self._model, pictures, self._pictures)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return a unit vector for each text, in their order; UserMistake where the model reads no words."""
        if not self._model.has_text:
            raise UserMistake(f"{self._model.name} embeds pictures alone.")
        return embed_in_parts(self._model, texts, self._texts)

    def _pictures(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        prepared = torch.from_numpy(prepare(pictures, self._model.preprocessing))
        with torch.inference_mode():
            return _numbers(self._net.pictures(prepared.to(self._device, self._dtype)))

    def _texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return _numbers(self._net.texts(self._net.tokens(texts).to(self._device)))


def _numbers(rows: torch.Tensor) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = rows.float().cpu().numpy()
    return found
