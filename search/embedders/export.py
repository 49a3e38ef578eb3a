"""From a checkpoint to ONNX, for machines without a torch that the models' libraries take.

    checkpoint → torch at full precision → picture.onnx (and text.onnx, vocabulary) → made_from.json

The preparation of pictures is not part of it: that is the same code for both back ends.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from runtime.errors import OperatorNeeded
from runtime.files import trouble_in_words
from search.catalogue import Model
from search.embedders import exported
from search.embedders.exported import MadeFrom, export_folder, save_note
from search.embedders.hashes import digest_of_file
from search.embedders.loading import FAMILIES
from search.embedders.torch_model import Net
from search.embedders.weights import Places, get_weights

EXAMPLES = 2  # with one, the exporter would take the number of pictures for a fixed one
OPEN_CLIP_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"


class Side(torch.nn.Module):  # type: ignore[misc]
    """One side of a network as a module of one input."""

    def __init__(self, net: Net, run: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.module, self._run = net.module, run

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Return the rows of what is given."""
        return self._run(given)


def export(model: Model, places: Places) -> Path:
    """Write the model's export and return its folder; it replaces an older one when it is whole."""
    weights, folder = get_weights(model, places), export_folder(model, places)
    net: Net = importlib.import_module(FAMILIES[model.family]).load_net(model, weights)
    net.module.eval()
    aside = folder.with_name(f"{folder.name}.aside")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        side = model.preprocessing.crop
        _write(Side(net, net.pictures), torch.zeros(EXAMPLES, 3, side, side), aside / exported.PICTURE)
        text_length = _export_text(net, aside) if model.has_text else 0
        files = {path.name: digest_of_file(path) for path in sorted(aside.iterdir())}
        save_note(aside, MadeFrom(model.architecture, weights.sha256, text_length, files))
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    except OSError as error:
        raise trouble_in_words(error, folder) from error
    return folder


def _export_text(net: Net, folder: Path) -> int:
    """Write the text side and its vocabulary; return how many tokens it reads."""
    tokens = net.tokens([""] * EXAMPLES)
    _write(Side(net, net.texts), tokens, folder / exported.TEXT)
    library = importlib.util.find_spec("open_clip")
    if library is None or library.origin is None:
        raise OperatorNeeded("open_clip's vocabulary is not there.", advice="Install open_clip_torch anew.")
    shutil.copyfile(Path(library.origin).with_name(OPEN_CLIP_VOCABULARY), folder / exported.VOCABULARY)
    return int(tokens.shape[1])


def _write(side: Side, example: torch.Tensor, path: Path) -> None:
    """Write one side for any number of inputs of the example's shape."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the exporter's own libraries
        torch.onnx.export(
            side,
            (example,),
            path,
            input_names=[exported.INPUT],
            output_names=["rows"],
            dynamic_shapes={exported.INPUT: {0: torch.export.Dim.DYNAMIC}},
            dynamo=True,
            verbose=False,
        )
