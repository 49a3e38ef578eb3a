"""What one stretch of an audit found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Findings:
    """What one stretch of an audit found: ids by kind of gap, how much it looked at, and where it ended.

    `last_id` is None where the stretch was the last one. `strays` are things to tell that have no id, by kind.
    """

    looked_at: int
    last_id: int | None
    gaps: dict[str, list[int]] = field(default_factory=dict)
    strays: dict[str, list[str]] = field(default_factory=dict)


FileCheck = Callable[[int, int], Findings]
"""Audits, in the cycle of the first number, a stretch of files and rows behind the id that is the second."""
FileChecks = Mapping[str, FileCheck]

# Gaps of pictures that whoever audits may mend: the raw picture is queued again, the background removed again.
RAW_GAPS = {"pictures_missing": "missing", "pictures_damaged": "damaged"}
BACKGROUND_FREE_GAPS = ("background_free_missing", "background_free_damaged")
