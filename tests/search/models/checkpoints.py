"""Checkpoints of the real architectures with seeded random weights, in the libraries' own formats."""

from __future__ import annotations

import importlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from search.catalogue import Embedder, Model
from search.embedders.loading import load_torch
from search.embedders.table import MODELS
from search.embedders.torchvision_shim import import_torchvision
from search.embedders.weights import Places

THREADS = 2
DINO3 = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_register_tokens": 4}
CONFIGS: dict[str, dict[str, int]] = {
    "dinov2_base": {"num_hidden_layers": 12, "image_size": 518, "patch_size": 14},
    "dinov2_large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    | {"image_size": 518, "patch_size": 14},
    "dinov3_base": {"num_hidden_layers": 12} | DINO3,
}
"""What the published config.json of each model says otherwise than its class."""

import_torchvision()
open_clip = importlib.import_module("open_clip")
torch.set_num_threads(THREADS)
logging.getLogger("transformers").setLevel(logging.ERROR)


class Shelf:
    """A folder of models in which a model's checkpoint is made, and the model loaded, when it is first asked for.

    `layers`: the models have so many layers alone; otherwise they are the real architectures.
    """

    def __init__(self, folder: Path, layers: int | None = None) -> None:
        self.places = Places(folder / "models", folder / "hub")
        self._layers = layers
        self._loaded: dict[str, Embedder] = {}

    def make(self, name: str) -> Model:
        """Return the model of the table, its checkpoint on the shelf."""
        model = thinner(MODELS[name], self._layers, self.places.models_folder) if self._layers else MODELS[name]
        if not self.folder(name).is_dir():
            save_checkpoint(model, self.folder(name), self._layers)
        return model

    def load(self, name: str) -> Embedder:
        """Return the model in torch, on the processor and in full precision."""
        if name not in self._loaded:
            self._loaded[name] = load_torch(self.make(name), self.places, "cpu", "fp32")
        return self._loaded[name]

    def folder(self, name: str) -> Path:
        return self.places.models_folder / name


def thinner(model: Model, layers: int, folder: Path) -> Model:
    """Return the model with fewer layers; open_clip knows architectures by name, so it is told of a new one."""
    if model.family == "transformers":
        return model
    told = open_clip.get_model_config(model.architecture)
    for side in ("vision_cfg", "text_cfg"):
        told[side]["layers"] = layers
    name = f"{model.architecture}-{layers}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(told))
    open_clip.add_model_config(folder / f"{name}.json")
    return replace(model, architecture=name)


def save_checkpoint(model: Model, folder: Path, layers: int | None = None) -> None:
    """Write a checkpoint with seeded random weights, as the model's library writes one."""
    torch.manual_seed(len(model.name))
    folder.mkdir(parents=True)
    if model.family == "transformers":
        kind = getattr(transformers, model.architecture)
        fewer = {"num_hidden_layers": layers} if layers else {}
        kind(kind.config_class(**CONFIGS[model.name] | fewer)).save_pretrained(folder)
    else:
        state = open_clip.create_model(model.architecture).state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, folder / "open_clip_model.safetensors")
