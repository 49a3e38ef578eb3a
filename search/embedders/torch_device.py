"""What torch computes on here, and in which numbers."""

from __future__ import annotations

import torch

from search.embedders.device import BRAIN, FULL, HALF

NUMBERS = {FULL: torch.float32, BRAIN: torch.bfloat16, HALF: torch.float16}
NATIVE_BF16 = ("amx_bf16", "avx512_bf16", "bf16")


def devices() -> tuple[str, ...]:
    """Return the devices that torch has on this machine, best first."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return tuple(name for name, found in there.items() if found)


def has_bf16() -> bool:
    """Return whether the processor multiplies bf16 itself; elsewhere bf16 is slower than full precision."""
    told = torch.cpu.get_capabilities()
    return any(told.get(name) for name in NATIVE_BF16)
