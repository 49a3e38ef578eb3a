"""From a model's name to a model that embeds.

    name → table of models → weights on this machine → back end → embedder

    torch  the library's own file in the models' folder or the hub's cache, on the best device
    onnx   what `python run.py models --export` made of it, on the processor, without torch

Libraries are loaded with the first model that needs them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial

from runtime.errors import OperatorNeeded, UserMistake
from search.catalogue import Catalogue, Embedder, Loader, Model
from search.embedders.device import AUTO, ONNX, TORCH, Machine, probe
from search.embedders.table import MODELS
from search.embedders.weights import Places, get_weights

FAMILIES = {
    "open_clip": "search.embedders.open_clip_model",
    "transformers": "search.embedders.transformers_model",
}
"""The file of each family."""


def build_loader(
    places: Places,
    back_end: str = AUTO,
    device: str = AUTO,
    catalogue: Catalogue = MODELS,
    machine: Machine | None = None,
    precision: str = AUTO,
) -> Loader:
    """Return what loads models by name: all stay in memory, or one at a time where that is short.

    `back_end` is "auto", "torch" or "onnx", `device` "auto" or one that the machine has, `precision` "auto",
    "fp32", "bf16" or "fp16" (of torch; onnxruntime has full precision alone). UserMistake for others.
    Where memory is short the caller has to let go of one embedder before it asks for the next.
    """
    machine = machine or probe()
    load = _back_end(places, back_end, device, precision, machine)
    held: dict[str, Embedder] = {}

    def loader(name: str) -> Embedder:
        if name not in catalogue:
            raise UserMistake(f"There is no model {name}.", advice=f"There are: {', '.join(catalogue)}.")
        if name not in held:
            if machine.short_of_memory:
                held.clear()
            held[name] = load(catalogue[name])
        return held[name]

    return loader


def load_torch(model: Model, places: Places, device: str, precision: str) -> Embedder:
    """Return the model in torch; OperatorNeeded where its weights are missing or not its own."""
    weights = get_weights(model, places)
    net = importlib.import_module(FAMILIES[model.family]).load_net(model, weights)
    made: Embedder = importlib.import_module("search.embedders.torch_model").TorchModel(
        model, net, weights.sha256, device, precision
    )
    return made


def load_onnx(model: Model, places: Places) -> Embedder:
    """Return the exported model on onnxruntime; OperatorNeeded where it is missing, or made of other weights."""
    made: Embedder = importlib.import_module("search.embedders.onnx_model").load_model(model, places)
    return made


def _back_end(
    places: Places, back_end: str, device: str, precision: str, machine: Machine
) -> Callable[[Model], Embedder]:
    """Return what loads a model with the back end that is wanted; an error says why it cannot be had here."""
    chosen = machine.back_end if back_end == AUTO else back_end
    if chosen == TORCH and machine.has_torch:
        on = machine.device(device)
        return partial(load_torch, places=places, device=on, precision=machine.precision(on, precision))
    if chosen == ONNX and machine.has_onnx:
        return partial(load_onnx, places=places)
    if back_end not in (AUTO, TORCH, ONNX):
        raise UserMistake(f"There is no back end {back_end}.", advice="There are: auto, torch, onnx.")
    raise OperatorNeeded(
        f"The models cannot run with the back end {back_end} here ({machine.words()}).",
        advice="Install the libraries (pip install -r requirements-search.txt), or choose another EMBED_BACK_END.",
    )
