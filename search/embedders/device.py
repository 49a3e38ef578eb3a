"""What this machine can do: looked at once, at the start, without loading a model."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
from dataclasses import dataclass, replace

from runtime.errors import UserMistake

TORCH, ONNX, AUTO = "torch", "onnx", "auto"
TORCH_LIBRARIES, ONNX_LIBRARY = ("torch", "transformers", "open_clip_torch"), "onnxruntime"
OLDEST_TORCH = (2, 6)  # that transformers 5 takes; Intel Macs stop at 2.2.2
PRECISIONS = HALF, BRAIN, FULL = "fp16", "bf16", "fp32"
GRAPHICS = {"cuda": "an NVIDIA card (CUDA)", "mps": "Apple's graphics processor (MPS)"}
SHORT_BYTES = 12 * 2**30  # the five models at full precision take 5 GB, and one more copy of one while it is loaded


@dataclass(frozen=True, slots=True)
class Machine:
    """What one machine has for running models.

    `devices` names what torch computes on, best first; `versions` the libraries that are installed. `has_bf16`:
    the processor multiplies bf16 itself. `memory_bytes` is 0 where the system does not tell.
    """

    processor: str
    memory_bytes: int
    versions: dict[str, str]
    devices: tuple[str, ...] = ("cpu",)
    has_bf16: bool = False

    @property
    def back_end(self) -> str:
        """The better back end that all models run on here: "torch", "onnx", or "" where neither is installed."""
        return TORCH if self.has_torch else ONNX if self.has_onnx else ""

    @property
    def has_torch(self) -> bool:
        """Whether all models run in torch here."""
        return set(TORCH_LIBRARIES) <= set(self.versions) and not self.has_old_torch

    @property
    def has_onnx(self) -> bool:
        """Whether exported models run here."""
        return ONNX_LIBRARY in self.versions

    @property
    def has_old_torch(self) -> bool:
        """Whether torch is here, and older than the models' libraries take."""
        found = re.match(r"(\d+)\.(\d+)", self.versions.get("torch", ""))
        return found is not None and (int(found[1]), int(found[2])) < OLDEST_TORCH

    @property
    def short_of_memory(self) -> bool:
        """Whether only one model at a time is to be in memory."""
        return self.memory_bytes < SHORT_BYTES

    def device(self, wanted: str = AUTO) -> str:
        """Return the device to compute on; UserMistake where the wanted one is not there."""
        if wanted == AUTO:
            return self.devices[0]
        if wanted not in self.devices:
            raise UserMistake(
                f"This machine has no device {wanted}.", advice=f"It has: {', '.join(self.devices)}; or say auto."
            )
        return wanted

    def precision(self, device: str, wanted: str = AUTO) -> str:
        """Return what the weights are held in on this device, by itself half precision where that is native there."""
        if wanted in PRECISIONS:
            return wanted
        if wanted != AUTO:
            raise UserMistake(f"There is no precision {wanted}.", advice=f"There are: auto, {', '.join(PRECISIONS)}.")
        if device in GRAPHICS:
            return HALF
        return BRAIN if self.has_bf16 else FULL

    def words(self) -> str:
        """Return a line for a person."""
        memory = f", {self.memory_bytes / 2**30:.0f} GB of memory" if self.memory_bytes else ""
        cards = "".join(f", {words}" for device, words in GRAPHICS.items() if device in self.devices)
        held = "; one model at a time" if self.short_of_memory else ""
        return f"{self.processor}{memory}{cards}: {self._back_end_in_words()}{held}"

    def _back_end_in_words(self) -> str:
        if self.back_end == TORCH:
            device = self.device()
            return f"torch {self.versions['torch']} on {device} in {self.precision(device)}"
        why = f" (torch {self.versions['torch']} is too old for transformers 5)" if self.has_old_torch else ""
        if self.back_end == ONNX:
            return f"exported models on onnxruntime {self.versions['onnxruntime']}{why}"
        return "no library that runs models: pip install -r requirements-search.txt"


def probe() -> Machine:
    """Return what this machine can do; torch is imported where it is new enough."""
    machine = Machine(platform.processor() or platform.machine(), _memory_bytes(), _versions())
    if machine.back_end != TORCH:
        return machine
    torch_device = importlib.import_module("search.embedders.torch_device")
    return replace(machine, devices=torch_device.devices(), has_bf16=torch_device.has_bf16())


def _versions() -> dict[str, str]:
    found = {}
    for name in (*TORCH_LIBRARIES, ONNX_LIBRARY):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _memory_bytes() -> int:
    """Return the memory of the machine, 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
