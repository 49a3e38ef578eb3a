"""The family of the Hugging Face vision models (DINOv2, DINOv3), by transformers: pictures alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import transformers

from runtime.errors import Bug
from runtime.files import read_json
from search.catalogue import Model
from search.embedders.torchvision_shim import import_torchvision
from search.embedders.weights import Weights, wrong_weights

import_torchvision()  # transformers imports it with the first model, where it is installed
transformers.utils.logging.disable_progress_bar()


class TransformersNet:
    """A vision transformer; a picture's row is its class token after the last layer."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def pictures(self, prepared: torch.Tensor) -> torch.Tensor:
        """Return a row for each prepared picture."""
        rows: torch.Tensor = self.module(pixel_values=prepared).last_hidden_state[:, 0]
        return rows

    def texts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Raise Bug: these models read no words."""
        raise Bug("A model of pictures alone was asked to read words.")

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """Raise Bug: these models read no words."""
        raise Bug("A model of pictures alone was asked to read words.")


def load_net(model: Model, weights: Weights) -> TransformersNet:
    """Return the network of a checkpoint; OperatorNeeded where that is not one of this architecture."""
    try:
        kind = getattr(transformers, model.architecture)
        _check_config(model, weights, kind.config_class.model_type)
        module, told = kind.from_pretrained(
            weights.file.parent, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except MemoryError:
        raise
    except Exception as error:  # of many kinds, also for a file that was cut off
        raise wrong_weights(model, weights, error) from error
    # What is missing would be filled with random numbers, and a warning.
    lacking = sorted(map(str, [*told["missing_keys"], *told["mismatched_keys"]]))
    if lacking:
        raise wrong_weights(model, weights, f"it lacks {len(lacking)} tensors, {lacking[0]} among them")
    return TransformersNet(module)


def _check_config(model: Model, weights: Weights, model_type: str) -> None:
    """Raise ValueError where config.json tells of another kind of model or another size."""
    told = read_json(weights.file.parent / "config.json")
    found = (told.get("model_type"), told.get("hidden_size"))
    if found != (model_type, model.dim):
        raise ValueError(f"config.json tells of {found[0]} of width {found[1]}, not {model_type} of {model.dim}")
