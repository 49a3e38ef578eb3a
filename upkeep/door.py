"""The sub-commands of upkeep as run.py offers them: their arguments, and what runs them."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.door import Door

PART = "upkeep"

DOORS: Mapping[str, Door] = {}
