"""Python's garbage collector, for a process that works for months in steps."""

from __future__ import annotations

import gc

OBJECTS_BETWEEN = 20_000  # Python's own number is 700; a step makes some thousands


def collect_seldom() -> None:
    """Leave all that is loaded so far out of garbage collections, and have these come seldom.

    What a step makes goes with its last use; to look through it 700 objects apart found nothing and took a tenth of
    the step's time, and to look through all that is loaded some 35 ms now and then.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN)
