"""The family of CLIP models, by open_clip: pictures and words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from runtime.errors import Bug, OperatorNeeded
from search.catalogue import Model
from search.embedders.torchvision_shim import import_torchvision
from search.embedders.weights import Weights, wrong_weights

import_torchvision()

import open_clip  # noqa: E402 - it imports torchvision, which may need help first

Tokenizer = Callable[[list[str]], torch.Tensor]


class OpenClipNet:
    """A CLIP network with its tokenizer."""

    def __init__(self, module: torch.nn.Module, tokenizer: Tokenizer | None) -> None:
        self.module, self._tokenizer = module, tokenizer

    def pictures(self, prepared: torch.Tensor) -> torch.Tensor:
        """Return a row for each prepared picture."""
        rows: torch.Tensor = self.module.encode_image(prepared)
        return rows

    def texts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return a row for each text's tokens."""
        rows: torch.Tensor = self.module.encode_text(tokens)
        return rows

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the texts' tokens; a long text is cut to what the model reads."""
        if self._tokenizer is None:
            raise Bug("A model of pictures alone was asked to read words.")
        return self._tokenizer(list(texts))


def load_net(model: Model, weights: Weights) -> OpenClipNet:
    """Return the network of a checkpoint; OperatorNeeded where that is not one of this architecture."""
    try:
        # The name of a file, not of open_clip's own list: nothing is downloaded.
        module = open_clip.create_model(model.architecture, pretrained=str(weights.file))
    except MemoryError:
        raise
    except Exception as error:  # torch, safetensors and pickle each have their own for a file that is not theirs
        raise wrong_weights(model, weights, error) from error
    return OpenClipNet(module, _load_tokenizer(model) if model.has_text else None)


def _load_tokenizer(model: Model) -> Tokenizer:
    """Return the model's tokenizer: CLIP's comes with open_clip, others lie in the hub's cache."""
    try:
        found: Tokenizer = open_clip.get_tokenizer(model.architecture)
    except Exception as error:  # transformers has its own for what is not in the cache
        raise OperatorNeeded(
            f"The tokenizer of {model.name} cannot be loaded ({error}).",
            advice=f"Download {model.hub} into the hub cache.",
        ) from error
    return found
