"""Makes torchvision import where its wheel and torch's do not fit: the models' libraries need no more than its import.

PyPI's torchvision for Linux is built for CUDA; beside a torch for processors alone its compiled part does not load,
and its Python part then stops at two operators that nobody here uses. Declaring them is enough.
"""

from __future__ import annotations

import importlib
import sys

import torch

OPERATORS = ("nms", "qnms")
SIGN = "operator torchvision::"
_held: list[torch.library.Library] = []  # the operators live as long as their library


def import_torchvision() -> None:
    """Import torchvision where it is installed, with its operators declared where they are all that is missing."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return  # transformers does without; open_clip says so itself
    except RuntimeError as error:
        if SIGN not in str(error):
            raise
        _declare()
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        importlib.import_module("torchvision")


def _declare() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _held.append(library)
